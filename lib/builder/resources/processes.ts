/** The processes of this machine at one moment, as Linux shows them. */
import { readdir, readFile } from "node:fs/promises";
import { mapLimited } from "../../async/index.js";
import { type ProcessStat, parseProcessStat } from "./formats.js";

/** Files read at once; they are in memory, so more would not be quicker. */
const filesAtOnce = 16;

/** All processes, by their numbers. */
export type ProcessTable = ReadonlyMap<number, ProcessStat>;

/** Reads `<proc>/<pid>/stat` of every process. Empty where there is no such folder. */
export async function readProcessTable(proc: string): Promise<ProcessTable> {
  const names = await readdir(proc).catch((): string[] => []);
  const pids = names.filter((name) => /^\d{1,10}$/.test(name)).map(Number);
  const table = new Map<number, ProcessStat>();
  await mapLimited(pids, filesAtOnce, async (pid) => {
    const stat = await readStat(proc, pid);
    if (stat !== undefined) table.set(pid, stat);
  });
  return table;
}

/** One process; undefined when it is gone. */
export async function readStat(proc: string, pid: number): Promise<ProcessStat | undefined> {
  const text = await readText(`${proc}/${pid}/stat`);
  return text === undefined ? undefined : parseProcessStat(text);
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
