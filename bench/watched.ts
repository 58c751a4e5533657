/**
 * What an open page costs the farm: 200 trivial builds, and builds one at a time, with and without a page open, in
 * rounds that take turns; a ratio is taken within its round. Medians of the rounds are printed, of the time and of what the
 * runner's process takes of the cores, and what one page takes of a core of an idle runner. Of several pages, every other one shows the queue, the rest the overview.
 *
 * `watched [rounds] [pages]`
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { Pair } from "../test/support/pair.js";
import { atMost, type Benchmark } from "./benchmark.js";
import { median, trivialExpressions, withFarm } from "./farm.js";
import { cpuMs } from "./processes.js";

const count = 200;
const alone = 20;
const warmUp = 2;
/** Times that an idle runner is looked at: now and then it has something of its own to do. */
const rests = 5;
const restMs = 4_000;

async function withPages<T>(pair: Pair, pages: number, work: () => Promise<T>): Promise<T> {
  const script = fileURLToPath(new URL("open-page.js", import.meta.url));
  const open: ChildProcess[] = Array.from({ length: pages }, (_, n) =>
    spawn(process.execPath, [script, pair.statusUrl, n % 2 === 0 ? "overview" : "queue"], {
      stdio: ["ignore", "ignore", "inherit"],
    }),
  );
  try {
    // Started, and their first answers made.
    await sleep(2_000);
    return await work();
  } finally {
    const ended = open.map((page) => once(page, "exit"));
    for (const page of open) page.kill();
    await Promise.all(ended);
  }
}

/** Seconds that the builds take: all at once, and one by itself. */
interface Took {
  readonly many: number;
  readonly one: number;
  /** The runner's processor time for all of them. Milliseconds. */
  readonly runnerMs: number;
}

async function round(pair: Pair, salt: string): Promise<Took> {
  const drvs = await pair.instantiate(...trivialExpressions(count + alone, salt));
  const seconds = async (some: readonly string[]): Promise<number> => {
    const started = performance.now();
    const ids = await pair.tables.addBuilds(some.map((drv) => ({ drv, jobsetId: pair.jobsetId })));
    await pair.tables.waitFinished(ids, 120_000);
    return (performance.now() - started) / 1000;
  };
  const cpuBefore = cpuMs(pair.runner.pid);
  const many = await seconds(drvs.slice(0, count));
  const each: number[] = [];
  for (const drv of drvs.slice(count)) each.push(await seconds([drv]));
  return { many, one: median(each), runnerMs: cpuMs(pair.runner.pid) - cpuBefore };
}

/** Part of a core that the runner takes while nothing happens. */
async function idlePart(pair: Pair): Promise<number> {
  const { pid } = pair.runner;
  const before = cpuMs(pid);
  await sleep(restMs);
  return (cpuMs(pid) - before) / restMs;
}

export const run: Benchmark = async ([rounds = "5", pageCount = "1"]) =>
  withFarm({ builders: [{ settings: { maxJobs: 8 } }] }, async (pair) => {
    const pages = Number(pageCount);
    const many: number[] = [];
    const one: number[] = [];
    const runnerMs: number[] = [];
    for (let n = 0; n < warmUp + Number(rounds); n++) {
      const bare = (): Promise<Took> => round(pair, `bare${n}`);
      const watched = (): Promise<Took> => withPages(pair, pages, () => round(pair, `watched${n}`));
      // Which is first changes, so that neither has the warmer machine.
      const early = n % 2 === 0 ? undefined : await watched();
      const without = await bare();
      const withOpen = early ?? (await watched());
      if (n < warmUp) continue;
      many.push(withOpen.many / without.many);
      one.push(withOpen.one / without.one);
      runnerMs.push(withOpen.runnerMs / without.runnerMs);
    }
    const idle: number[] = [];
    const watched: number[] = [];
    for (let n = 0; n < rests; n++) {
      idle.push(await idlePart(pair));
      watched.push(await withPages(pair, pages, () => idlePart(pair)));
    }
    return [
      {
        figure: `${count} builds, pages open: ${pages}`,
        value: median(many),
        unit: "×",
        goal: atMost(1.03),
      },
      {
        figure: `processor time of the runner, pages open: ${pages}`,
        value: median(runnerMs),
        unit: "×",
        goal: atMost(1.03),
      },
      { figure: `a lone build, pages open: ${pages}`, value: median(one), unit: "×", goal: atMost(1.03) },
      {
        figure: "a page of an idle runner, of a core",
        value: ((median(watched) - median(idle)) / pages) * 100,
        unit: "%",
        goal: atMost(2),
      },
    ];
  });
