/** Cheap questions that show whether the surroundings of the runner work. */
import { mkdir, rm, statfs, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseStorePath } from "../../nix/path/store-path.js";
import type { RunnerStore } from "../state/runner-store.js";

const probeBytes = Buffer.alloc(4096, "h");

/** Writes a file of one block below `folder` and removes it. @throws the error of the operating system */
export async function writeProbe(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  const file = join(folder, "health-probe");
  try {
    await writeFile(file, probeBytes);
  } finally {
    await rm(file, { force: true });
  }
}

/** Space on a disk, in bytes. */
export interface DiskSpace {
  readonly free: number;
  readonly size: number;
}

const gib = 2 ** 30;

/** Why the space is too little; undefined when it is not: less than 1 % free, on large disks less than 1 GiB. */
export function lowSpace({ free, size }: DiskSpace): string | undefined {
  if (size === 0 || free >= Math.min(gib, size / 100)) return undefined;
  return `${Math.floor(free / 2 ** 20)} MiB of ${Math.floor(size / 2 ** 20)} MiB are free`;
}

/** @throws Error when little space is left where `folder` is, the error of the operating system when that is unknown */
export async function spaceProbe(folder: string): Promise<void> {
  const { bavail, blocks, bsize } = await statfs(folder);
  const low = lowSpace({ free: bavail * bsize, size: blocks * bsize });
  if (low !== undefined) throw new Error(low);
}

/** No store has it; any answer will do. */
const absentPath = parseStorePath("00000000000000000000000000000000-health-probe");

/** @throws DaemonError when the daemon does not answer a question about one path */
export async function storeProbe(
  store: Pick<RunnerStore, "isValidPath">,
  signal: AbortSignal,
): Promise<void> {
  await store.isValidPath(absentPath, { signal });
}
