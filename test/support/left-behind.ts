// What a test run leaves in its temporary folder and among the processes of this machine.
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

/** A process that belongs to a test run. */
export interface LeftProcess {
  readonly pid: number;
  readonly command: string;
}

/** Processes get this long to end after what they were started for has ended. */
const graceMs = 20_000;

/**
 * Processes that were started below `folder`: by its name in their environment, their arguments or their working
 * directory. Some programs (PostgreSQL) overwrite the first two, others (daemons) leave the third.
 */
export function processesOf(folder: string): LeftProcess[] {
  return readdirSync("/proc")
    .filter((entry) => /^\d+$/.test(entry) && Number(entry) !== process.pid)
    .flatMap((entry) => {
      const read = (name: string): string => {
        try {
          return name === "cwd"
            ? readlinkSync(`/proc/${entry}/cwd`)
            : readFileSync(`/proc/${entry}/${name}`, "utf8");
        } catch {
          // Ended meanwhile.
          return "";
        }
      };
      const command = read("cmdline").replaceAll("\0", " ").trim();
      // Workers of the test runner are its own business.
      if (command.includes("/vitest/")) return [];
      const ours = [command, read("environ"), read("cwd")].some((text) => text.includes(folder));
      // The kernel keeps an ended process until its parent asks for it; it has no memory and so no arguments.
      return ours ? [{ pid: Number(entry), command }] : [];
    });
}

/** The processes of `folder` that do not end by themselves soon. */
export async function leftProcesses(folder: string): Promise<LeftProcess[]> {
  const deadline = Date.now() + graceMs;
  for (;;) {
    const left = processesOf(folder);
    if (left.length === 0 || Date.now() > deadline) return left;
    await sleep(50);
  }
}

/** Files and folders in `folder`, with one level of what is in them, except `known`. */
export function leftFiles(folder: string, known: readonly string[]): string[] {
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => !known.includes(entry.name))
    .map((entry) => {
      if (!entry.isDirectory()) return entry.name;
      return `${entry.name}/ (${readdirSync(`${folder}/${entry.name}`).join(", ")})`;
    });
}
