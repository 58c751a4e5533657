/**
 * Where the temporary files of a test run go: into memory where there is room. Tests make and delete many thousand small
 * files, and a disk's file system took a fourth of their processor time, and longer waits. A `TMPDIR` of the caller is kept to.
 */
import { readFileSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";

/** Far more than a run keeps at once, in bytes. */
const room = 4 * 2 ** 30;
const memory = "/dev/shm";

/** The folder to make the run's own folder in. */
export function temporaryParent(): string {
  return process.env.TMPDIR === undefined && hasRoomInMemory() ? memory : tmpdir();
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
