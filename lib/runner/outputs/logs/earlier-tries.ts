/** Logs of earlier tries: how a log makes room for that of the next one. */
import { readdir, rename, rm, stat } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { isSystemError } from "../../../errors.js";

/** Endings of a log's name: plain, and as compressed by us or by others. */
export const logSuffixes = ["", ".zst", ".bz2"] as const;

/** What is done with the folder of a log. */
export interface LogFolder {
  readonly stat: (path: string) => Promise<unknown>;
  readonly list: (folder: string) => Promise<readonly string[]>;
}

const onDisk: LogFolder = { stat: (path) => stat(path), list: (folder) => readdir(folder) };

/**
 * Moves the log at `path`, in whatever form, to `<path>.try<N>`; of the earlier ones the newest `keep` stay, with this
 * one. A folder can have any number of logs, so it is listed only when there is something to move.
 */
export async function keepEarlierTry(path: string, keep: number, folder: LogFolder = onDisk): Promise<void> {
  const found = await Promise.all(logSuffixes.map((suffix) => isThere(path + suffix, folder)));
  const earlier = logSuffixes.filter((_, index) => found[index]);
  if (earlier.length === 0) return;
  const prefix = `${basename(path)}.try`;
  const names = await folder.list(dirname(path));
  const tries = [...new Set(names.filter((name) => name.startsWith(prefix)))]
    .map((name) => Number.parseInt(name.slice(prefix.length), 10))
    .filter(Number.isSafeInteger)
    .sort((a, b) => a - b);
  const next = (tries.at(-1) ?? 0) + 1;
  for (const suffix of earlier) await rename(path + suffix, `${path}.try${next}${suffix}`);
  const surplus = tries.slice(0, Math.max(0, tries.length + 1 - keep));
  for (const n of surplus) {
    for (const suffix of logSuffixes) await rm(`${path}.try${n}${suffix}`, { force: true });
  }
}

async function isThere(path: string, folder: LogFolder): Promise<boolean> {
  try {
    await folder.stat(path);
    return true;
  } catch (error) {
    if (!isSystemError(error) || error.code !== "ENOENT") throw error;
    return false;
  }
}
