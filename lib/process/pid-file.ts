/** A file that says which process holds something, and how to tell that the process has ended. */
import { link, readFile, rename, unlink, writeFile } from "node:fs/promises";

import { ProcessError } from "./errors.js";

/** When the process began, in the kernel's ticks; tells a process from a later one with the same number. */
async function startTime(pid: number): Promise<string> {
  const text = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
  // The second field is the program's name in parentheses and may hold anything.
  return text.slice(text.lastIndexOf(")") + 2).split(" ")[19] ?? "";
}

async function isAlive(holder: string): Promise<boolean> {
  const [pidText = "", started = ""] = holder.trim().split(" ");
  if (!/^[1-9]\d{0,9}$/.test(pidText)) return false;
  const pid = Number(pidText);
  try {
    process.kill(pid, 0);
  } catch (error) {
    // Someone else's process: alive, but not ours to signal.
    if (!(error instanceof Error && "code" in error && error.code === "EPERM")) return false;
  }
  const now = await startTime(pid);
  return started === "" || now === "" || started === now;
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}

/**
 * Writes the file, unless a living process did; one left by a dead process is taken over.
 * Returns what removes it again.
 * @throws ProcessError `locked` or `lock-unusable`
 */
export async function acquirePidFile(path: string): Promise<() => Promise<void>> {
  const own = `${path}.${process.pid}`;
  const content = `${process.pid} ${await startTime(process.pid)}\n`;
  try {
    await writeFile(own, content);
    for (;;) {
      try {
        // Makes the name and its content in one step; fails when the name is there.
        await link(own, path);
        break;
      } catch (error) {
        if (!hasCode(error, "EEXIST")) throw error;
      }
      const holder = await readFile(path, "utf8").catch((error: unknown) => {
        // It was removed since; a file that cannot be read would be looked at without end.
        if (hasCode(error, "ENOENT")) return undefined;
        throw error;
      });
      if (holder === undefined) continue;
      if (await isAlive(holder)) {
        throw new ProcessError(
          "locked",
          `another instance is already running (process ${holder.split(" ")[0]}): ${path}`,
        );
      }
      // Of several that see the dead one's file only one can move this very file away; the others check again.
      const grave = `${own}.stale`;
      await rename(path, grave).catch(() => undefined);
      const moved = await readFile(grave, "utf8").catch(() => undefined);
      if (moved !== undefined && moved !== holder) await link(grave, path).catch(() => undefined);
      await unlink(grave).catch(() => undefined);
    }
  } catch (cause) {
    if (cause instanceof ProcessError) throw cause;
    throw new ProcessError("lock-unusable", `cannot write ${path}`, { cause });
  } finally {
    await unlink(own).catch(() => undefined);
  }
  return async () => {
    const holder = await readFile(path, "utf8").catch(() => undefined);
    if (holder === content) await unlink(path).catch(() => undefined);
  };
}
