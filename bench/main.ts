/**
 * `npm run bench`: all parts, one after the other, each in a process of its own; `npm run bench -- <name> [words]`: one.
 * Prints a table, and keeps the rows in `bench/results/latest.json`. Exit code 1 when a part could not be measured; a
 * goal that is not met is a row that says so.
 *
 * Every benchmark is a module that exports `run`; a figure that is a claim is a ratio taken in the same run.
 */
import { spawnSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { arch, cpus, totalmem } from "node:os";
import { fileURLToPath } from "node:url";
import type { Benchmark } from "./benchmark.js";
import { keepRows, type ResultRow, rowsOf, tableOf } from "./results.js";

const parts: Readonly<Record<string, () => Promise<{ readonly run: Benchmark }>>> = {
  start: () => import("./start.js"),
  idle: () => import("./idle.js"),
  latency: () => import("./latency.js"),
  trivial: () => import("./trivial.js"),
  "end-to-end": () => import("./end-to-end.js"),
  makespan: () => import("./makespan.js"),
  "scheduler-throughput": () => import("./scheduler-throughput.js"),
  "failing-dependents": () => import("./failing-dependents.js"),
  ingestion: () => import("./ingestion.js"),
  dispatch: () => import("./dispatch.js"),
  status: () => import("./status.js"),
  watched: () => import("./watched.js"),
  fleet: () => import("./fleet.js"),
  transfer: () => import("./transfer.js"),
  upload: () => import("./upload.js"),
};

const resultFile = "bench/results/latest.json";

/** The rows of one part, printed and kept. */
async function measure(bench: string, run: Benchmark, words: readonly string[]): Promise<void> {
  const at = new Date().toISOString();
  const rows = rowsOf(await run(words), { bench, node: process.version, at });
  process.stdout.write(`${tableOf(rows)}\n`);
  const machine = { arch: arch(), cpus: cpus().length, memory: totalmem() };
  await keepRows(resultFile, rows, machine);
}

/** Every part in a process of its own, so that none has the heap, or the compiled code, of those before it. */
async function measureAll(): Promise<number> {
  const failed: string[] = [];
  for (const bench of Object.keys(parts)) {
    process.stderr.write(`${bench} …\n`);
    const { status } = spawnSync(process.execPath, [fileURLToPath(import.meta.url), bench], {
      stdio: ["ignore", "ignore", "inherit"],
    });
    if (status !== 0) failed.push(bench);
  }
  const { rows } = JSON.parse(await readFile(resultFile, "utf8")) as { readonly rows: readonly ResultRow[] };
  process.stdout.write(`${tableOf(rows)}\n`);
  if (failed.length > 0) process.stdout.write(`could not be measured: ${failed.join(", ")}\n`);
  return failed.length === 0 ? 0 : 1;
}

const [name, ...words] = process.argv.slice(2);
if (name === undefined) {
  process.exitCode = await measureAll();
} else {
  const load = parts[name];
  if (load === undefined) {
    process.stderr.write(`usage: npm run bench [-- <${Object.keys(parts).join(" | ")}>]\n`);
    process.exitCode = 2;
  } else {
    const { run } = await load();
    await measure(name, run, words);
  }
}
