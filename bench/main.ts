/**
 * `npm run bench -- <name>`: measures one thing, prints a table, writes `bench-results/<name>.json`.
 *
 * Every benchmark is a module that exports `run`; a figure that is a claim is a ratio taken in the same run.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { arch, cpus, totalmem } from "node:os";
import type { Benchmark } from "./benchmark.js";

const benchmarks: Readonly<Record<string, () => Promise<{ readonly run: Benchmark }>>> = {
  trivial: () => import("./trivial.js"),
  latency: () => import("./latency.js"),
  makespan: () => import("./makespan.js"),
  "scheduler-throughput": () => import("./scheduler-throughput.js"),
  "failing-dependents": () => import("./failing-dependents.js"),
  ingestion: () => import("./ingestion.js"),
  transfer: () => import("./transfer.js"),
};

const name = process.argv[2] ?? "";
const load = benchmarks[name];
if (load === undefined) {
  process.stderr.write(`usage: npm run bench -- <${Object.keys(benchmarks).join(" | ")}>\n`);
  process.exitCode = 2;
} else {
  const { run } = await load();
  const figures = await run(process.argv.slice(3));
  const machine = { node: process.version, arch: arch(), cpus: cpus().length, memory: totalmem() };
  const width = Math.max(...Object.keys(figures).map((key) => key.length));
  for (const [key, value] of Object.entries(figures)) {
    process.stdout.write(
      `${key.padEnd(width)}  ${typeof value === "number" ? Number(value.toFixed(3)) : value}\n`,
    );
  }
  await mkdir("bench-results", { recursive: true });
  const report = { name, at: new Date().toISOString(), machine, figures };
  await writeFile(`bench-results/${name}.json`, `${JSON.stringify(report, undefined, 2)}\n`);
}
