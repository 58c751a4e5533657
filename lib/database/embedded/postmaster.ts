/** The server's main process as the file system and /proc show it, and stopping it from outside. */

import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { sleep } from "../../async/index.js";
import type { EmbeddedPlaces } from "./places.js";

/** A process, told apart from a later one with the same id. */
interface ProcessMark {
  readonly pid: number;
  /** When it began, in the kernel's ticks; absent where there is no /proc. */
  readonly started: string | undefined;
}

const gracefulMs = 10_000;
const forcedMs = 5_000;

async function startTime(pid: number): Promise<string | undefined> {
  try {
    const text = await readFile(`/proc/${pid}/stat`, "utf8");
    // The name may hold anything, so count from its closing bracket; zombies count as gone.
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" || fields[0] === "X" ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

function signalProcess(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    process.kill(pid, signal);
    return true;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}

async function isAlive(pid: number): Promise<boolean> {
  if (!signalProcess(pid, 0)) return false;
  return process.platform !== "linux" || (await startTime(pid)) !== undefined;
}

/** The id of the server that uses the data folder; undefined when none does. */
export async function runningPostmaster(places: EmbeddedPlaces): Promise<number | undefined> {
  const text = await readFile(join(places.data, "postmaster.pid"), "utf8").catch(() => "");
  const pid = Number(text.split("\n")[0]);
  if (!Number.isInteger(pid) || pid <= 1 || !(await isAlive(pid))) return undefined;
  if (process.platform !== "linux") return pid;
  // The id may be another program's by now.
  const command = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
  return command.split("\0").includes(places.data) ? pid : undefined;
}

/** Notes that this process looks after the server. */
export async function writeOwner(places: EmbeddedPlaces): Promise<void> {
  const mark: ProcessMark = { pid: process.pid, started: await startTime(process.pid) };
  await writeFile(places.owner, JSON.stringify(mark));
}

/** The process that started the server still lives; it may be this one. */
export async function hasLiveOwner(places: EmbeddedPlaces): Promise<boolean> {
  try {
    const mark: unknown = JSON.parse(await readFile(places.owner, "utf8"));
    if (typeof mark !== "object" || mark === null || !("pid" in mark) || typeof mark.pid !== "number")
      return false;
    const started = "started" in mark ? mark.started : undefined;
    return (await isAlive(mark.pid)) && (started === undefined || started === (await startTime(mark.pid)));
  } catch {
    return false;
  }
}

/** Ends a server: connections are cut, data is written; one that hangs is killed (it recovers at its next start). */
export async function stopPostmaster(places: EmbeddedPlaces, pid: number): Promise<void> {
  for (const [signal, patience] of [
    ["SIGINT", gracefulMs],
    ["SIGQUIT", forcedMs],
    ["SIGKILL", forcedMs],
  ] as const) {
    signalProcess(pid, signal);
    const deadline = performance.now() + patience;
    while (performance.now() < deadline) {
      if (!(await isAlive(pid))) {
        if (signal === "SIGKILL") await rm(join(places.data, "postmaster.pid"), { force: true });
        return;
      }
      await sleep(20);
    }
  }
}
