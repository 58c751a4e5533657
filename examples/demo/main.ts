/**
 * A build farm, end to end: an embedded PostgreSQL, one queue runner and two builders as separate processes,
 * three Nix stores, a signed binary cache in a folder, and a real Nix that substitutes from it.
 *
 *   npm run demo                     builds the job set and proves the result
 *   npm run demo -- --keep           leaves everything running until Ctrl-C
 *   npm run --silent demo -- --json  prints the table as JSON and nothing else
 */
import { existsSync } from "node:fs";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { startFarm } from "./farm.js";
import { jobs } from "./jobs.js";
import { proveCache } from "./proof.js";
import { type BuildRow, renderTable } from "./report.js";

const { values: flags } = parseArgs({
  options: { keep: { type: "boolean", default: false }, json: { type: "boolean", default: false } },
});

const root = resolve(fileURLToPath(new URL("../../..", import.meta.url)));
const folder = join(root, ".demo");
const say = (line: string): void => void process.stderr.write(`${line}\n`);

/** Store files are read-only, folders included; deleting them needs write permission first. */
async function removeTree(path: string): Promise<void> {
  if (!existsSync(path)) return;
  const open = async (directory: string): Promise<void> => {
    await chmod(directory, 0o755);
    for (const entry of await readdir(directory, { withFileTypes: true })) {
      if (entry.isDirectory()) await open(join(directory, entry.name));
    }
  };
  await open(path);
  await rm(path, { recursive: true, force: true });
}

async function main(): Promise<number> {
  await removeTree(folder);
  await mkdir(folder, { recursive: true });
  const sockets = await mkdtemp(join(tmpdir(), "hydra-demo-"));
  const interrupted = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => interrupted.abort());
  let failures: string[] = [];
  try {
    await using farm = await startFarm({ folder, sockets, root, say });
    say(`status page: ${farm.statusUrl}`);
    const submitted = await farm.submit(jobs.map((job) => job.name));
    const rows = await farm.wait(submitted, { signal: interrupted.signal, say });
    failures = check(rows);
    if (flags.json) process.stdout.write(`${JSON.stringify(rows, undefined, 2)}\n`);
    else process.stdout.write(`\n${renderTable(rows)}\n\n`);
    const proof = await proveCache(farm, rows, { folder, sockets, say });
    failures.push(...proof);
    const broken = rows.find((row) => row.name === "broken");
    if (broken?.logFile === undefined) failures.push("the failed build has no log");
    else say(`\nlog of the failed build (${broken.logFile}):\n${await readFile(broken.logFile, "utf8")}`);
    for (const failure of failures) say(`demo: ${failure}`);
    say(failures.length === 0 ? "demo: all results are as expected" : "demo: results are NOT as expected");
    if (flags.keep) {
      say(`demo: still running, status page ${farm.statusUrl}; Ctrl-C ends it`);
      while (!interrupted.signal.aborted) await sleep(200);
    }
  } finally {
    await rm(sockets, { recursive: true, force: true });
    if (!flags.keep && failures.length === 0) await removeTree(folder);
  }
  return failures.length === 0 ? 0 : 1;
}

/** Differences between the results and what the job set expects. */
function check(rows: readonly BuildRow[]): string[] {
  const problems: string[] = [];
  for (const job of jobs) {
    const row = rows.find((candidate) => candidate.name === job.name);
    if (row === undefined) problems.push(`${job.name} has no result`);
    else if (row.status !== job.expected)
      problems.push(`${job.name}: expected ${job.expected}, got ${row.status}`);
  }
  const machines = new Set(rows.map((row) => row.machine).filter((machine) => machine !== ""));
  if (machines.size < 2) problems.push("only one builder did any work");
  return problems;
}

process.exitCode = await main().catch((error: unknown) => {
  say(`demo: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  return 1;
});
