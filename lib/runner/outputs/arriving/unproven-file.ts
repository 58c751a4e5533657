/**
 * The unproven paths in a file below the data folder. A line is a path that is unproven from there on, or, after a hyphen,
 * one that no longer is; now and then the file is replaced as a whole.
 */
import { dirname } from "node:path";
import { backoffDelay, Microbatch, retry, withSignal } from "../../../async/index.js";
import { UsageError } from "../../../errors.js";
import { inFolder } from "../../../in-folder.js";
import { LineFile } from "../../../line-file.js";
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

/** Writes that are asked for at the same time are one. */
export class UnprovenFile implements UnprovenMemory {
  readonly #options: UnprovenFileOptions;
  readonly #writes: Microbatch<() => readonly StorePath[], undefined>;
  readonly #file: LineFile;
  /** What the file says to be unproven; undefined when that is not known. */
  #written: Set<StorePath> | undefined;
  #lines = 0;
  #isClosed = false;

  constructor(options: UnprovenFileOptions) {
    this.#options = options;
    this.#file = new LineFile(options.path);
    this.#writes = new Microbatch(async (requests) => {
      try {
        await this.#write(requests);
      } finally {
        if (this.#isClosed) await this.close();
      }
      return requests.map(() => undefined);
    });
  }

  /** What an earlier runner left; empty without a file. @throws UsageError when it cannot be read */
  async load(): Promise<readonly StorePath[]> {
    const { path } = this.#options;
    try {
      const paths = new Set<StorePath>();
      for (const line of await this.#file.load()) {
        if (line.startsWith(over)) paths.delete(parseStorePath(line.slice(over.length)));
        else paths.add(parseStorePath(line));
      }
      return [...paths];
    } catch (cause) {
      throw new UsageError(`${path}, the list of unproven store paths, cannot be read`, { cause });
    }
  }

  /** @throws the signal's reason */
  async save(paths: () => readonly StorePath[], signal?: AbortSignal): Promise<void> {
    await withSignal(this.#writes.add(paths), signal ?? new AbortController().signal);
  }

  /** Keeps no file open from now on. What is saved later is written as well. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#file.close();
    this.#written = undefined;
  }

  /** A disk that cannot be written now is tried again: without the file, a crash would make paths believed. */
  async #write(requests: readonly (() => readonly StorePath[])[]): Promise<void> {
    const { path, logger, random, stopped } = this.#options;
    const write = (): Promise<void> => this.#bringUpToDate(new Set(requests.at(-1)?.()));
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

  async #bringUpToDate(paths: Set<StorePath>): Promise<void> {
    const written = this.#written;
    // Half a line may be there when it fails.
    this.#written = undefined;
    const lines = written === undefined ? [...paths] : changes(written, paths);
    const isWhole = written === undefined || this.#lines + lines.length > 2 * paths.size + mostIdle;
    await inFolder(dirname(this.#options.path), async () => {
      if (isWhole) await this.#file.replace(paths);
      else if (lines.length > 0) await this.#file.append(lines.join("\n"), { durable: false });
    });
    this.#lines = isWhole ? paths.size : this.#lines + lines.length;
    this.#written = paths;
  }
}

/** The lines that make one list the other. */
function changes(from: ReadonlySet<StorePath>, to: ReadonlySet<StorePath>): readonly string[] {
  const gone = [...from].filter((path) => !to.has(path));
  return [...gone.map((path) => over + path), ...[...to].filter((path) => !from.has(path))];
}
