/**
 * A large queue read into memory: `npm run bench -- ingestion [derivations]`. A package set on disk, behind a real
 * daemon, and builds of all packages that no other needs in a real database; the runner's own monitor, ingestion and scheduler read
 * them in a process of their own.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readSync, writeFileSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import pg from "pg";
import { defaultStoreDir, hashBytes, printStorePath } from "../lib/nix/index.js";
import { startNixStore } from "../test/support/nix.js";
import { atLeast, atMost, type Benchmark, type Result } from "./benchmark.js";
import { withHydraDatabase } from "./farm.js";
import { derivationFiles, makePackageSet } from "./package-set.js";

/** What the measured process is given, as JSON in its only argument. */
export interface IngestionTask {
  readonly databaseUrl: string;
  readonly remote: string;
}

/** What it prints, as JSON. Memory in bytes. */
export interface IngestionFigures {
  readonly builds: number;
  readonly steps: number;
  readonly firstSeconds: number;
  readonly firstCpuSeconds: number;
  readonly firstLongestBlockMs: number;
  readonly idleSeconds: number;
  readonly idleLongestBlockMs: number;
  readonly startRss: number;
  readonly peakRss: number;
  readonly heapBytes: number;
}

const megabyte = 1_000_000;

/** `derivations`: default 60,000; a third of them are builds. */
export const run: Benchmark = async ([derivations = "60000"]) => {
  const folder = await mkdtemp(join(tmpdir(), "hydra-bench-"));
  const nix = await startNixStore({ directory: folder, name: "store" });
  try {
    await mkdir(nix.realStoreDir, { recursive: true });
    const files: string[] = [];
    const jobs: string[] = [];
    for (const { path, contents, isJob } of derivationFiles(makePackageSet(Number(derivations), 1))) {
      const file = join(nix.realStoreDir, path);
      writeFileSync(file, contents);
      files.push(file);
      if (isJob) jobs.push(printStorePath(defaultStoreDir, path));
    }
    return await withHydraDatabase(async (databaseUrl) => {
      await insertJobs(databaseUrl, jobs);
      const yardstick = readAndHash(files);
      const figures = await measured({ databaseUrl, remote: nix.remote });
      return results(figures, { name: "read and hash the same files", value: files.length / yardstick });
    });
  } finally {
    await nix.close();
    await rm(folder, { recursive: true, force: true });
  }
};

async function insertJobs(databaseUrl: string, jobs: readonly string[]): Promise<void> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  await client.query(
    "INSERT INTO users (username, fullname, emailaddress, password) VALUES ('o', 'o', 'o', '!')",
  );
  await client.query("INSERT INTO projects (name, displayname, owner) VALUES ('p', 'p', 'o')");
  await client.query(
    `INSERT INTO jobsets (name, project, nixexprinput, nixexprpath, emailoverride, schedulingshares)
     VALUES ('j', 'p', 'i', 'x', '', 100)`,
  );
  await client.query(
    `INSERT INTO builds (finished, timestamp, jobset_id, job, nixname, drvpath, system, priority, globalpriority)
     SELECT 0, 1700000000 + n, (SELECT id FROM jobsets), 'job-' || n, 'job', drv, 'x86_64-linux', 100, 0
       FROM unnest($1::text[]) WITH ORDINALITY AS job(drv, n)`,
    [jobs],
  );
  await client.query("ANALYZE");
  await client.end();
}

/** Seconds of reading all files into one buffer and hashing them. */
function readAndHash(files: readonly string[]): number {
  const buffer = Buffer.allocUnsafe(1 << 20);
  const started = performance.now();
  for (const file of files) {
    const descriptor = openSync(file, "r");
    hashBytes("sha256", buffer.subarray(0, readSync(descriptor, buffer)));
    closeSync(descriptor);
  }
  return (performance.now() - started) / 1000;
}

async function measured(task: IngestionTask): Promise<IngestionFigures> {
  const program = fileURLToPath(new URL("ingesting-runner.js", import.meta.url));
  const child = spawn(process.execPath, [...process.execArgv, program, JSON.stringify(task)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let answer = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    answer += text;
  });
  const [code] = await once(child, "close");
  if (code !== 0) throw new Error(`the measured process ended with code ${String(code)}`);
  return JSON.parse(answer) as IngestionFigures;
}

function results(figures: IngestionFigures, yardstick: Required<Result>["yardstick"]): Result[] {
  const { builds, steps, firstSeconds, firstCpuSeconds } = figures;
  return [
    { figure: "builds in the queue", value: builds, unit: "" },
    { figure: "steps in memory", value: steps, unit: "" },
    {
      figure: "first pass",
      value: steps / firstSeconds,
      unit: "derivations/s",
      yardstick,
      goal: atLeast(6_000),
    },
    { figure: "first pass, by processor time", value: steps / firstCpuSeconds, unit: "derivations/s" },
    {
      figure: "first pass, processor",
      value: firstCpuSeconds,
      unit: "s",
      goal: atMost((15 * steps) / 290_000),
    },
    { figure: "first pass, longest block", value: figures.firstLongestBlockMs, unit: "ms", goal: atMost(20) },
    { figure: "pass without changes", value: figures.idleSeconds, unit: "s" },
    {
      figure: "pass without changes, longest block",
      value: figures.idleLongestBlockMs,
      unit: "ms",
      goal: atMost(20),
    },
    { figure: "memory before", value: figures.startRss / megabyte, unit: "MB" },
    {
      figure: "peak memory",
      value: figures.peakRss / megabyte,
      unit: "MB",
      // 130 MB at 9,541 derivations, 400 MB at 290,000: between them in proportion.
      goal: atMost(130 + ((400 - 130) * Math.max(0, steps - 9_541)) / (290_000 - 9_541)),
    },
    { figure: "heap per step", value: figures.heapBytes / steps, unit: "bytes", goal: atMost(1_024) },
  ];
}
