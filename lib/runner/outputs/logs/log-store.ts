/**
 * Build logs on disk, where Hydra's front-end looks for them.
 *
 * The newest try of a derivation is `<directory>/<first 2 characters>/<rest of the base name>`; each earlier try is
 * kept beside it as `<path>.try<N>`, so a retry never destroys the log that explains why it was needed. A finished log
 * of some size is compressed to `<path>.zst`, which the front-end reads as well; others (Hydra's own plug-in, a weekly
 * job) may make `.bz2` of a plain one at any time.
 */

import { createReadStream, createWriteStream } from "node:fs";
import { open, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { aFunction, aLogger, anAmount, aText, checkMembers, optional } from "../../../argument-checks.js";
import { retry } from "../../../async/index.js";
import { compress } from "../../../compression/index.js";
import { isShortage, isSystemError } from "../../../errors.js";
import { inFolder } from "../../../in-folder.js";
import { type Logger, silentLogger } from "../../../log.js";
import type { StorePath } from "../../../nix/path/store-path.js";
import { keepEarlierTry, logSuffixes } from "./earlier-tries.js";
import { FileLogWriter, type LogFile, type LogWriter, LostLog } from "./log-file.js";

/** Where logs are kept, and how much of them. */
export interface LogStoreOptions {
  /** Usually `<hydraDataDir>/build-logs`. Created when missing. */
  readonly directory: string;
  /** Bytes of one log after which the rest is dropped with a note. 0 = no bound. */
  readonly maxBytes: number;
  /** How many earlier tries of one derivation stay on disk. Default 9. */
  readonly keepTries?: number;
  readonly logger?: Logger | undefined;
  /** Makes the file of a log, in place of one that is there. Default: on the disk. */
  readonly openFile?: ((path: string) => Promise<LogFile>) | undefined;
}

/** How long a log waits for file descriptors or space to be opened, in milliseconds. */
const openPatienceMs = 30_000;
const openAgainMs = 250;

/** Bytes; a compressed file takes at least one block of the disk, too. */
const smallLog = 4096;

/** The logs of all derivations. */
export class LogStore {
  readonly #directory: string;
  readonly #keepTries: number;
  readonly #logger: Logger;
  readonly #openFile: (path: string) => Promise<LogFile>;
  #maxBytes: number;

  constructor(options: LogStoreOptions) {
    checkMembers("LogStore", options, {
      directory: aText,
      maxBytes: anAmount,
      keepTries: optional(anAmount),
      logger: optional(aLogger),
      openFile: optional(aFunction),
    });
    this.#directory = options.directory;
    this.#keepTries = options.keepTries ?? 9;
    this.#logger = options.logger ?? silentLogger;
    this.#openFile = options.openFile ?? ((path) => open(path, "w", 0o666));
    this.#maxBytes = options.maxBytes;
  }

  /** A changed configuration applies to logs opened later. */
  setMaxBytes(maxBytes: number): void {
    this.#maxBytes = maxBytes;
  }

  /** Absolute path of the newest log of a derivation, whether or not it exists. */
  pathOf(drv: StorePath): string {
    return join(this.#directory, drv.slice(0, 2), drv.slice(2));
  }

  /**
   * Starts the log of a new try; an existing log moves to `<path>.try<N>` first. `since`: when a try began whose log
   * comes for a second time (milliseconds since the epoch); what was written after that is of the same try, and
   * replaced.
   */
  async create(drv: StorePath, options: { readonly since?: number } = {}): Promise<LogWriter> {
    const path = this.pathOf(drv);
    if (options.since !== undefined) await this.#removeSince(path, options.since);
    const logger = this.#logger;
    let waiting = false;
    try {
      const file = await retry(
        async () => {
          await keepEarlierTry(path, this.#keepTries);
          return inFolder(dirname(path), () => this.#openFile(path));
        },
        {
          classify: (error) => (isShortage(error) ? "passing" : "final"),
          delayMs: () => openAgainMs,
          budget: { totalMs: openPatienceMs, doubtfulTries: 1 },
          onRetry: ({ error }) => {
            if (!waiting) logger.warn("a log cannot be opened; trying again", { path, error });
            waiting = true;
          },
        },
      );
      if (waiting) logger.info("a log can be opened again", { path });
      return new FileLogWriter({ path, file, maxBytes: this.#maxBytes, logger });
    } catch (error) {
      if (!isSystemError(error)) throw error;
      logger.error("a log cannot be opened and is left out", { path, error });
      return new LostLog(path, this.#maxBytes);
    }
  }

  /** Size in bytes of the newest log, or undefined when there is none. */
  async size(drv: StorePath): Promise<number | undefined> {
    try {
      return (await stat(this.pathOf(drv))).size;
    } catch {
      return undefined;
    }
  }

  /** The log of a try is complete: it is compressed, unless that would save no disk block. */
  async finish(drv: StorePath): Promise<void> {
    const path = this.pathOf(drv);
    const plain = await stat(path).catch(() => undefined);
    if (plain === undefined || plain.size <= smallLog) return;
    const temporary = `${path}.zst.tmp`;
    try {
      await pipeline(
        Readable.from(compress(createReadStream(path), { method: "zstd" })),
        createWriteStream(temporary),
      );
      await rename(temporary, `${path}.zst`);
      await rm(path, { force: true });
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
  }

  /** A writer that is still at work goes on in a file without a name. */
  async #removeSince(path: string, since: number): Promise<void> {
    for (const suffix of logSuffixes) {
      const file = await stat(path + suffix).catch(() => undefined);
      if (file !== undefined && file.mtimeMs >= since) await rm(path + suffix, { force: true });
    }
  }
}
