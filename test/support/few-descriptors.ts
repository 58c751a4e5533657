// Another process that can open only so many files more for a while.
import { execFile } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { promisify } from "node:util";

const run = promisify(execFile);

const limitOf = async (pid: number): Promise<string> => {
  const columns = ["-o", "SOFT", "--noheadings"];
  const { stdout } = await run("prlimit", ["--pid", String(pid), "--nofile", ...columns]);
  return stdout.trim();
};

/** Leaves the process as many descriptors as it has open and `free` more while `work` runs, then what it had before. */
export async function withFewDescriptors(
  { pid }: { readonly pid: number },
  free: number,
  work: () => Promise<void>,
): Promise<void> {
  const limit = (count: string): Promise<unknown> =>
    run("prlimit", ["--pid", String(pid), `--nofile=${count}:`]);
  const before = await limitOf(pid);
  // Every number up to the highest one may be in use; the kernel gives out the lowest one that is free.
  const open = new Set((await readdir(`/proc/${pid}/fd`)).map(Number));
  let count = 0;
  for (let left = free; left > 0 || open.has(count); count++) if (!open.has(count)) left--;
  await limit(String(count));
  try {
    await work();
  } finally {
    await limit(before);
  }
}

/** Leaves this process only so many descriptors that it can still open. Resolves to what gives the others back. */
export async function leaveDescriptors(free: number): Promise<() => Promise<void>> {
  const limit = (count: string): Promise<unknown> =>
    run("prlimit", ["--pid", String(process.pid), `--nofile=${count}:`]);
  const before = await limitOf(process.pid);
  const open = (await readdir("/proc/self/fd")).map(Number);
  await limit(String(Math.max(...open) + 40));
  const taken: number[] = [];
  try {
    for (;;) taken.push(openSync("/dev/null", "r"));
  } catch {
    for (const fd of taken.splice(0, free)) closeSync(fd);
  }
  return async () => {
    for (const fd of taken.splice(0)) closeSync(fd);
    await limit(before);
  };
}
