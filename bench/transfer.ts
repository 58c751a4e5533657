/**
 * One output on its way: from the end of its build to the finished build (in the runner's store and in a folder as cache),
 * from there to a second builder, and `nix copy` of the same path into another folder, all in the same round.
 *
 * `npm run bench -- transfer [megabytes] [rounds] [files]`: half random bytes and half text, by default 512 MB in one file,
 * three rounds; then as much over TLS, and 20,000 small files. With a number of files: only those. Processor time is that
 * of a program with its codecs; that of Nix daemons stands beside it.
 */
import { mkdir, mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Certificates } from "../test/support/certificates.js";
import type { Pair } from "../test/support/pair.js";
import { atMost, type Benchmark, type Result, ratioAtMost } from "./benchmark.js";
import { median, withFarm } from "./farm.js";
import { megabyte, writeSource } from "./source-files.js";

/** Of `/proc/<pid>/stat`, in seconds. */
const tick = 0.01;

/** Seconds of processor time so far, with those of children that have ended. */
async function processorSeconds(pid: number | undefined): Promise<number> {
  if (pid === undefined) return 0;
  const line = await readFile(`/proc/${pid}/stat`, "utf8");
  const fields = line.slice(line.lastIndexOf(")") + 2).split(" ");
  return fields.slice(11, 15).reduce((sum, field) => sum + Number(field) * tick, 0);
}

/** Largest resident set so far, in MB. */
async function peakMemory(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return (Number(/VmHWM:\s*(\d+)/.exec(status)?.[1]) * 1024) / megabyte;
}

interface Round {
  readonly sent: number;
  readonly fetched: number;
  readonly nixCopy: number;
  readonly runnerCpu: number;
  readonly builderCpu: number;
  readonly daemonCpu: number;
  readonly fetchCpu: number;
}

async function oneRound(pair: Pair, folder: string, round: number): Promise<Round> {
  const [first, second] = [pair.builder(0), pair.builder(1)];
  const used = async (): Promise<{ runner: number; builders: number; daemons: number }> => {
    const of = (pids: readonly (number | undefined)[]): Promise<number> =>
      Promise.all(pids.map(processorSeconds)).then((all) => all.reduce((sum, one) => sum + one, 0));
    return {
      runner: await of([pair.runner.pid]),
      builders: await of([first.process.pid, second.process.pid]),
      daemons: await of([pair.store.daemonPid, first.store.daemonPid, second.store.daemonPid]),
    };
  };
  const marks = join(folder, `marks-${round}`);
  await mkdir(marks);
  const derivation = (name: string, feature: string, script: string, more = ""): string =>
    `derivation { name = "${name}-${round}"; system = builtins.currentSystem; builder = "/bin/sh"; ` +
    `args = [ "-c" "${script}" ]; requiredSystemFeatures = [ "${feature}" ]; ${more} }`;
  const large = derivation(
    "large",
    "first",
    `/bin/busybox cp -r ${folder}/source $out && echo ${round} > $out/salt && echo > ${marks}/built`,
  );
  const user = derivation("user", "second", `echo > ${marks}/fetched; echo > $out`, `input = ${large};`);
  const build = async (expression: string): Promise<{ readonly began: number; readonly ended: number }> => {
    const [drv = ""] = await pair.instantiate(expression);
    const began = Date.now();
    const ids = await pair.tables.addBuilds([{ drv, jobsetId: pair.jobsetId }]);
    await pair.tables.waitFinished(ids, 600_000);
    const ended = Date.now();
    const { Builds: rows } = await pair.tables.rows(ids);
    if (rows.some((row) => row.buildstatus !== 0)) throw new Error(`a build failed:\n${pair.report(20)}`);
    return { began, ended };
  };

  const before = await used();
  const { ended } = await build(large);
  const between = await used();
  const { began } = await build(user);
  const after = await used();

  const [drv = ""] = await pair.instantiate(large);
  const out = (await pair.store.run("nix-store", ["--query", "--outputs", drv])).trim();
  const started = Date.now();
  await pair.store.run("nix", [
    "copy",
    "--no-check-sigs",
    "--to",
    `file://${pair.folder}/yardstick-${round}?compression=zstd`,
    out,
  ]);
  return {
    nixCopy: (Date.now() - started) / 1000,
    sent: (ended - (await stat(join(marks, "built"))).mtimeMs) / 1000,
    fetched: ((await stat(join(marks, "fetched"))).mtimeMs - began) / 1000,
    runnerCpu: between.runner - before.runner,
    builderCpu: between.builders - before.builders,
    daemonCpu: between.daemons - before.daemons,
    fetchCpu: after.runner + after.builders - between.runner - between.builders,
  };
}

interface Case {
  /** Stands before the figures. */
  readonly name: string;
  readonly megabytes: number;
  readonly files: number;
  readonly tls: boolean;
}

const smallFiles = { megabytes: 80, files: 20_000 } as const;

function casesOf(megabytes: number, files: number | undefined): readonly Case[] {
  if (files !== undefined) return [{ name: `${files} files, ${megabytes} MB`, megabytes, files, tls: false }];
  return [
    { name: `${megabytes} MB`, megabytes, files: 1, tls: false },
    { name: `${megabytes} MB, TLS`, megabytes, files: 1, tls: true },
    { name: `${smallFiles.files} files`, ...smallFiles, tls: false },
  ];
}

async function measure(one: Case, rounds: number): Promise<readonly Result[]> {
  // Builds of a store below another root see nothing but what is named to Nix.
  const folder = await mkdtemp(join(tmpdir(), "hydra-transfer-"));
  const nixConf = `extra-sandbox-paths = ${folder}`;
  try {
    await writeSource(join(folder, "source"), one.megabytes * megabyte, one.files);
    const features = ["first", "second"];
    const certificates = one.tls ? await Certificates.issue(folder, ["runner", ...features]) : undefined;
    const builders = features.map((feature) => ({
      systemFeatures: [feature],
      nixConf,
      ...(certificates && { flags: certificates.builderFlags(feature) }),
    }));
    const tls = certificates && { tls: true, runnerFlags: certificates.runnerFlags("runner") };
    return await withFarm({ builders, ...tls }, async (pair) => {
      const all: Round[] = [];
      for (let round = 0; round < rounds; round++) all.push(await oneRound(pair, folder, round));
      const memory = {
        runner: await peakMemory(pair.runner.pid),
        builder: Math.max(
          await peakMemory(pair.builder(0).process.pid),
          await peakMemory(pair.builder(1).process.pid),
        ),
      };
      return resultsOf(one, all, memory);
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

export const run: Benchmark = async ([megabytes = "512", rounds = "3", files]) => {
  const results: Result[] = [];
  for (const one of casesOf(Number(megabytes), files === undefined ? undefined : Number(files))) {
    results.push(...(await measure(one, Number(rounds))));
  }
  return results;
};

function resultsOf(
  { name, files }: Case,
  rounds: readonly Round[],
  memory: { readonly runner: number; readonly builder: number },
): readonly Result[] {
  const of = (pick: (round: Round) => number): number => median(rounds.map(pick));
  const seconds = { unit: "s" } as const;
  const nixCopy = { name: "nix copy to a folder", value: of((round) => round.nixCopy) };
  const manyFiles = files > 1;
  return [
    {
      figure: `${name}: end of build to finished`,
      value: of((round) => round.sent),
      ...seconds,
      yardstick: nixCopy,
      goal: manyFiles ? atMost(3) : ratioAtMost(1.5),
    },
    {
      figure: `${name}: insert to input there`,
      value: of((round) => round.fetched),
      ...seconds,
      yardstick: nixCopy,
      ...(manyFiles ? {} : { goal: ratioAtMost(1.2) }),
    },
    { figure: `${name}: CPU of the runner, sent`, value: of((round) => round.runnerCpu), ...seconds },
    { figure: `${name}: CPU of the builder, sent`, value: of((round) => round.builderCpu), ...seconds },
    { figure: `${name}: CPU of the daemons, sent`, value: of((round) => round.daemonCpu), ...seconds },
    { figure: `${name}: CPU of both, fetched`, value: of((round) => round.fetchCpu), ...seconds },
    { figure: `${name}: peak memory of the runner`, value: memory.runner, unit: "MB", goal: atMost(130) },
    { figure: `${name}: peak memory of a builder`, value: memory.builder, unit: "MB", goal: atMost(130) },
  ];
}
