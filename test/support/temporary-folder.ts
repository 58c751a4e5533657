/**
 * Where the temporary files of a test run go: into memory where there is room. Tests make and delete many thousand small
 * files, and a disk's file system took a fourth of their processor time, and longer waits. A `TMPDIR` of the caller is kept to.
 */
import { readFileSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";

/** Far more than a run keeps at once, in bytes. */
const room = 4 * 2 ** 30;
const memory = "/dev/shm";
const diskVariable = "HYDRA_TEST_DISK";

/** The folder to make the run's own folder in. */
export function temporaryParent(): string {
  return process.env.TMPDIR === undefined && hasRoomInMemory() ? memory : tmpdir();
}

/** Tells the workers of a folder that is not in memory, for the few tests whose subject is a disk. */
export function setDiskFolder(folder: string): void {
  process.env[diskVariable] = folder;
}

/** The run's folder that is not in memory. */
export function diskFolder(): string {
  const folder = process.env[diskVariable];
  if (folder === undefined) throw new Error(`${diskVariable} is set by test/support/global-setup.ts`);
  return folder;
}

function hasRoomInMemory(): boolean {
  try {
    const mount = readFileSync("/proc/self/mounts", "utf8")
      .split("\n")
      .map((line) => line.split(" "))
      .findLast(([, place]) => place === memory);
    const options = mount?.[3]?.split(",") ?? [];
    // Tests write programs and start them.
    if (mount?.[2] !== "tmpfs" || !options.includes("rw") || options.includes("noexec")) return false;
    const { bavail, bsize } = statfsSync(memory);
    const [, available = "0"] =
      /^MemAvailable: +(\d+) kB$/m.exec(readFileSync("/proc/meminfo", "utf8")) ?? [];
    return bavail * bsize >= room && Number(available) * 1024 >= 2 * room;
  } catch {
    // Not Linux, or no such mount.
    return false;
  }
}
