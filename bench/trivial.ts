/**
 * 200 independent trivial builds on one builder with 8 jobs, from the INSERT to the last `finished = 1`, against
 * `nix-build -j8` of as many on the builder's own store, and against its building alone (`nix-store --realise -j8`
 * of derivations that exist already). Each round has all three, one after the other, and a ratio is taken within its
 * round, because machines have slow and fast moments; medians of the rounds are printed.
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { atMost, type Benchmark } from "./benchmark.js";
import { median, trivialExpressions, withFarm } from "./farm.js";
import { cpuMs } from "./processes.js";

const count = 200;
/** Rounds that warm caches and the just-in-time compiler. */
const warmUp = 2;

/** One Nix expression: the list of them. */
function asList(expressions: readonly string[]): string {
  return `[ ${expressions.map((one) => `(${one})`).join(" ")} ]`;
}

async function secondsOf(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await work();
  return (performance.now() - started) / 1000;
}

function ratio(ours: readonly number[], theirs: readonly number[]): number {
  return median(ours.map((seconds, round) => seconds / (theirs[round] ?? Number.NaN)));
}

export const run: Benchmark = async ([rounds = "5"]) =>
  withFarm({ builders: [{ settings: { maxJobs: 8 } }] }, async (pair) => {
    const { store, process: builder } = pair.builder(0);
    const cpu = { runner: 0, builder: 0 };
    const ours: number[] = [];
    const nixBuild: number[] = [];
    const realise: number[] = [];
    for (let round = 0; round < warmUp + Number(rounds); round++) {
      const drvs = await pair.instantiate(...trivialExpressions(count, `ours${round}`));
      const before = { runner: cpuMs(pair.runner.pid), builder: cpuMs(builder.pid) };
      const oursTook = await secondsOf(async () => {
        const ids = await pair.tables.addBuilds(drvs.map((drv) => ({ drv, jobsetId: pair.jobsetId })));
        await pair.tables.waitFinished(ids, 120_000);
      });
      const took = {
        runner: cpuMs(pair.runner.pid) - before.runner,
        builder: cpuMs(builder.pid) - before.builder,
      };

      const file = join(pair.folder, `trivial-${round}.nix`);
      await writeFile(file, asList(trivialExpressions(count, `nix${round}`)));
      const nixBuildTook = await secondsOf(() => store.run("nix-build", ["-j8", "--no-out-link", file]));

      const theirs = await store.instantiate(asList(trivialExpressions(count, `realise${round}`)));
      const realiseTook = await secondsOf(() => store.run("nix-store", ["--realise", "-j8", ...theirs]));

      if (round < warmUp) continue;
      cpu.runner += took.runner;
      cpu.builder += took.builder;
      ours.push(oursTook);
      nixBuild.push(nixBuildTook);
      realise.push(realiseTook);
    }
    const seconds = median(ours);
    return [
      {
        figure: `${count} builds, ratio of each round`,
        value: ratio(ours, nixBuild),
        unit: "×",
        goal: atMost(1.5),
      },
      {
        figure: `${count} builds`,
        value: seconds,
        unit: "s",
        yardstick: { name: "nix-build -j8, s", value: median(nixBuild) },
      },
      {
        figure: "the same without instantiating",
        value: ratio(ours, realise),
        unit: "×",
        yardstick: { name: "nix-store --realise -j8, ratio", value: 1 },
      },
      { figure: "rate", value: count / seconds, unit: "builds/s" },
      { figure: "CPU of the runner per build", value: cpu.runner / ours.length / count, unit: "ms" },
      { figure: "CPU of the builder per build", value: cpu.builder / ours.length / count, unit: "ms" },
    ];
  });
