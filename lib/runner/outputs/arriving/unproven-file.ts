/** The unproven paths in a file below the data folder: one a line, replaced as a whole. */
import { readFile, rename, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { backoffDelay, Microbatch, retry, withSignal } from "../../../async/index.js";
import { isSystemError, UsageError } from "../../../errors.js";
import { inFolder } from "../../../in-folder.js";
import type { Logger } from "../../../log.js";
import { parseStorePath, type StorePath } from "../../../nix/path/store-path.js";
import type { UnprovenMemory } from "../../state/unproven-paths.js";

const firstPauseMs = 200;
const longestPauseMs = 5_000;

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

  constructor(options: UnprovenFileOptions) {
    this.#options = options;
    this.#writes = new Microbatch(async (requests) => {
      await this.#write(requests);
      return requests.map(() => undefined);
    });
  }

  /** What an earlier runner left; empty without a file. @throws UsageError when it cannot be read */
  async load(): Promise<readonly StorePath[]> {
    const { path } = this.#options;
    try {
      const text = await readFile(path, "utf8");
      return text.split("\n").flatMap((line) => (line === "" ? [] : [parseStorePath(line)]));
    } catch (cause) {
      if (isSystemError(cause) && cause.code === "ENOENT") return [];
      throw new UsageError(`${path}, the list of unproven store paths, cannot be read`, { cause });
    }
  }

  /** @throws the signal's reason */
  async save(paths: () => readonly StorePath[], signal?: AbortSignal): Promise<void> {
    await withSignal(this.#writes.add(paths), signal ?? new AbortController().signal);
  }

  /** A disk that cannot be written now is tried again: without the file, a crash would make paths believed. */
  async #write(requests: readonly (() => readonly StorePath[])[]): Promise<void> {
    const { path, logger, random, stopped } = this.#options;
    const temporary = `${path}.tmp`;
    const write = async (): Promise<void> => {
      const lines = (requests.at(-1)?.() ?? []).map((line) => `${line}\n`);
      await inFolder(dirname(path), () => writeFile(temporary, lines.join("")));
      await rename(temporary, path);
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
}
