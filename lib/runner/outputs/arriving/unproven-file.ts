/**
 * The unproven paths in a file below the data folder. A line is a path that is unproven from there on, or, after a hyphen,
 * one that no longer is; now and then the file is replaced as a whole.
 */
import { type FileHandle, open, readFile, rename } from "node:fs/promises";
import { dirname } from "node:path";
import { backoffDelay, Microbatch, retry, withSignal } from "../../../async/index.js";
import { isSystemError, UsageError } from "../../../errors.js";
import { inFolder } from "../../../in-folder.js";
import type { Logger } from "../../../log.js";
import { parseStorePath, type StorePath } from "../../../nix/path/store-path.js";
import type { UnprovenMemory } from "../../state/unproven-paths.js";

const firstPauseMs = 200;
const longestPauseMs = 5_000;
/** Lines that are no longer needed, before the file is replaced. */
const mostIdle = 1_000;
/** Begins a line about a path that is not unproven any more. */
const over = "-";

/** What the file is written with. */
export interface UnprovenFileOptions {
  readonly path: string;
  readonly logger: Logger;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** Ends the waiting for a disk that cannot be written. Default: nothing does. */
  readonly stopped?: AbortSignal | undefined;
}

/** The file as it was written last, which takes more lines. */
interface OpenFile {
  readonly handle: FileHandle;
  /** What it says to be unproven. */
  readonly paths: Set<StorePath>;
  lines: number;
}

/** Writes that are asked for at the same time are one. */
export class UnprovenFile implements UnprovenMemory {
  readonly #options: UnprovenFileOptions;
  readonly #writes: Microbatch<() => readonly StorePath[], undefined>;
  #file: OpenFile | undefined;
  #writing: Promise<void> = Promise.resolve();
  #isClosed = false;

  constructor(options: UnprovenFileOptions) {
    this.#options = options;
    this.#writes = new Microbatch(async (requests) => {
      const writing = this.#write(requests);
      this.#writing = writing.catch(() => {});
      await writing;
      if (this.#isClosed) await this.#forget();
      return requests.map(() => undefined);
    });
  }

  /** What an earlier runner left; empty without a file. @throws UsageError when it cannot be read */
  async load(): Promise<readonly StorePath[]> {
    const { path } = this.#options;
    try {
      const lines = (await readFile(path, "utf8")).split("\n");
      // What waits for a line goes on only once its end is written, too.
      lines.pop();
      const paths = new Set<StorePath>();
      for (const line of lines) {
        if (line.startsWith(over)) paths.delete(parseStorePath(line.slice(over.length)));
        else paths.add(parseStorePath(line));
      }
      return [...paths];
    } catch (cause) {
      if (isSystemError(cause) && cause.code === "ENOENT") return [];
      throw new UsageError(`${path}, the list of unproven store paths, cannot be read`, { cause });
    }
  }

  /** @throws the signal's reason */
  async save(paths: () => readonly StorePath[], signal?: AbortSignal): Promise<void> {
    await withSignal(this.#writes.add(paths), signal ?? new AbortController().signal);
  }

  /** Waits for what is being written, and keeps no file open from now on. What is saved later is written as well. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#writing;
    await this.#forget();
  }

  /** A disk that cannot be written now is tried again: without the file, a crash would make paths believed. */
  async #write(requests: readonly (() => readonly StorePath[])[]): Promise<void> {
    const { path, logger, random, stopped } = this.#options;
    const write = async (): Promise<void> => {
      const paths = requests.at(-1)?.() ?? [];
      try {
        if (this.#file === undefined || this.#file.lines > 2 * paths.length + mostIdle)
          await this.#replace(paths);
        else await append(this.#file, paths);
      } catch (error) {
        // Half a line may be there.
        await this.#forget();
        throw error;
      }
    };
    let waiting = false;
    await retry(write, {
      classify: () => "passing",
      delayMs: (failures) =>
        backoffDelay(failures, { firstMs: firstPauseMs, longestMs: longestPauseMs, random }),
      signal: stopped,
      ref: false,
      onRetry: ({ error }) => {
        if (waiting) return;
        waiting = true;
        logger.warn("the list of unproven store paths cannot be written; outputs wait for it", {
          path,
          error,
        });
      },
    });
    if (waiting) logger.info("the list of unproven store paths can be written again", { path });
  }

  async #replace(paths: readonly StorePath[]): Promise<void> {
    const { path } = this.#options;
    const temporary = `${path}.tmp`;
    await this.#forget();
    const handle = await inFolder(dirname(path), () => open(temporary, "w"));
    this.#file = { handle, paths: new Set(), lines: 0 };
    await append(this.#file, paths);
    await rename(temporary, path);
  }

  /** The next write replaces the file. */
  async #forget(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.handle.close().catch(() => {});
  }
}

/** Writes what has changed. */
async function append(file: OpenFile, paths: readonly StorePath[]): Promise<void> {
  const now = new Set(paths);
  const come = paths.filter((path) => !file.paths.has(path));
  const gone = [...file.paths].filter((path) => !now.has(path));
  const lines = [...gone.map((path) => over + path), ...come];
  if (lines.length === 0) return;
  await file.handle.appendFile(lines.map((line) => `${line}\n`).join(""));
  for (const path of gone) file.paths.delete(path);
  for (const path of come) file.paths.add(path);
  file.lines += lines.length;
}
