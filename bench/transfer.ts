/**
 * One output on its way: from the end of its build to the finished build (in the runner's store and in a folder as cache),
 * from there to a second builder, and `nix copy` of the same path into another folder, all in the same round.
 *
 * `npm run bench -- transfer [megabytes] [rounds] [files]`: half random bytes and half text, by default 512 MB in one file,
 * three rounds. Processor time is that of a program with its codecs; that of Nix daemons stands beside it.
 */
import { createHash, randomBytes } from "node:crypto";
import { mkdir, mkdtemp, open, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Pair } from "../test/support/pair.js";
import type { Benchmark, Figures } from "./benchmark.js";
import { median, withFarm } from "./farm.js";

const megabyte = 1_000_000;
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

/** Words in no order that a compressor could know beforehand. */
function text(size: number, salt: string): Buffer {
  const lines: string[] = [];
  for (let n = 0, length = 0; length < size; n++) {
    const line = `${createHash("md5")
      .update(`${salt}${n >> 3}`)
      .digest("hex")} is the name of line ${n}\n`;
    lines.push(line);
    length += line.length;
  }
  return Buffer.from(lines.join("").slice(0, size));
}

async function writeSource(folder: string, size: number, count: number): Promise<void> {
  await mkdir(folder, { recursive: true });
  const block = Math.min(megabyte, Math.ceil(size / count / 2));
  const words = text(block, "words");
  for (let n = 0; n < count; n++) {
    const file = await open(join(folder, `${n}`), "w");
    for (let left = size / count; left > 0; left -= 2 * block) {
      await file.appendFile(randomBytes(block));
      await file.appendFile(words);
    }
    await file.close();
  }
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

export const run: Benchmark = async ([megabytes = "512", rounds = "3", files = "1"]) => {
  // Builds of a store below another root see nothing but what is named to Nix.
  const folder = await mkdtemp(join(tmpdir(), "hydra-transfer-"));
  const nixConf = `extra-sandbox-paths = ${folder}`;
  try {
    await writeSource(join(folder, "source"), Number(megabytes) * megabyte, Number(files));
    return await withFarm(
      {
        builders: [
          { systemFeatures: ["first"], nixConf },
          { systemFeatures: ["second"], nixConf },
        ],
      },
      async (pair) => {
        const all: Round[] = [];
        for (let round = 0; round < Number(rounds); round++) all.push(await oneRound(pair, folder, round));
        return {
          megabytes,
          files,
          node: process.version,
          ...figuresOf(all),
          "peak memory of the runner, MB": await peakMemory(pair.runner.pid),
          "peak memory of a builder, MB": Math.max(
            await peakMemory(pair.builder(0).process.pid),
            await peakMemory(pair.builder(1).process.pid),
          ),
        };
      },
    );
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
};

function figuresOf(rounds: readonly Round[]): Figures {
  const of = (pick: (round: Round) => number): number => median(rounds.map(pick));
  return {
    "end of build to finished, s": of((round) => round.sent),
    "insert to input there, s": of((round) => round.fetched),
    "nix copy, s": of((round) => round.nixCopy),
    "ratio, sent (aim: 1.5)": of((round) => round.sent / round.nixCopy),
    "ratio, fetched (aim: 1.2)": of((round) => round.fetched / round.nixCopy),
    "CPU of the runner, sent, s": of((round) => round.runnerCpu),
    "CPU of the builder, sent, s": of((round) => round.builderCpu),
    "CPU of the daemons, sent, s": of((round) => round.daemonCpu),
    "CPU of both, fetched, s": of((round) => round.fetchCpu),
  };
}
