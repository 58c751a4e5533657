/** The processes of this machine at one moment, as Linux shows them. */
import { readFileSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { turn } from "../../async/index.js";
import { type ProcessStat, parseProcessStat } from "./formats.js";

/** Files read in one turn of the event loop: less than a millisecond. */
const filesPerTurn = 32;

/** All processes, by their numbers. */
export type ProcessTable = ReadonlyMap<number, ProcessStat>;

/** Reads `<proc>/<pid>/stat` of every process. Empty where there is no such folder. */
export async function readProcessTable(proc: string): Promise<ProcessTable> {
  const names = await readdir(proc).catch((): string[] => []);
  const pids = names.filter((name) => /^\d{1,10}$/.test(name)).map(Number);
  const table = new Map<number, ProcessStat>();
  for (const [index, pid] of pids.entries()) {
    if (index % filesPerTurn === filesPerTurn - 1) await turn();
    const stat = readStat(proc, pid);
    if (stat !== undefined) table.set(pid, stat);
  }
  return table;
}

/**
 * One process; undefined when it is gone. The kernel makes this file without waiting for anything, so that reading it
 * costs a tenth of what handing it to a thread would.
 */
export function readStat(proc: string, pid: number): ProcessStat | undefined {
  try {
    return parseProcessStat(readFileSync(`${proc}/${pid}/stat`, "latin1"));
  } catch {
    return undefined;
  }
}

/** The words of a command line; none for what is gone or not ours to see. */
export async function readCommandLine(proc: string, pid: number): Promise<readonly string[]> {
  return ((await readText(`${proc}/${pid}/cmdline`)) ?? "").split("\0");
}

/** A file of the kernel; undefined when it is not there, or not ours to read. */
export async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "latin1");
  } catch {
    return undefined;
  }
}
