/**
 * One log on disk while it is written.
 *
 * A disk that takes nothing must neither end the build nor hold it up for long: a write is tried again for a while, then
 * the text is left out, and a note in its place says how much is missing. Writing goes on as soon as the disk does.
 */
import type { FileHandle } from "node:fs/promises";
import { retry } from "../../../async/index.js";
import { errorChain, toError } from "../../../errors.js";
import type { Logger } from "../../../log.js";

/** Receives one log in pieces; whatever was written can be read at once. Never rejects. */
export interface LogWriter {
  readonly path: string;
  /** Bytes that are written at most; what is beyond is dropped with a note. */
  readonly maxBytes: number;
  write(chunk: Uint8Array): Promise<void>;
  close(): Promise<void>;
}

/** What a log is written to. */
export type LogFile = Pick<FileHandle, "close"> & {
  write(bytes: Uint8Array, offset: number): Promise<{ readonly bytesWritten: number }>;
};

/** How a log is written. */
export interface LogFileOptions {
  readonly path: string;
  readonly file: LogFile;
  /** 0 = no bound. */
  readonly maxBytes: number;
  readonly logger: Logger;
  /** How long a failing write is tried again before text is left out, in milliseconds. Default 10 s. */
  readonly patienceMs?: number | undefined;
}

const defaultPatienceMs = 10_000;
/** How long the note about missing text is tried when the log ends. */
const closingMs = 2_000;
const retryEveryMs = 200;

/** Writes one log. */
export class FileLogWriter implements LogWriter {
  readonly path: string;
  readonly maxBytes: number;
  readonly #file: LogFile;
  readonly #logger: Logger;
  readonly #patienceMs: number;
  #written = 0;
  #cut = false;
  /** Bytes that could not be written since the last that were. */
  #omitted = 0;
  #cause = "";
  #triedAt = 0;

  constructor(options: LogFileOptions) {
    this.path = options.path;
    this.maxBytes = options.maxBytes === 0 ? Number.POSITIVE_INFINITY : options.maxBytes;
    this.#file = options.file;
    this.#logger = options.logger;
    this.#patienceMs = options.patienceMs ?? defaultPatienceMs;
  }

  async write(chunk: Uint8Array): Promise<void> {
    if (this.#cut) return;
    const room = this.maxBytes - this.#written;
    const part = chunk.length <= room ? chunk : chunk.subarray(0, Math.max(0, room));
    await this.#put(part);
    this.#written += part.length;
    if (part.length < chunk.length) {
      this.#cut = true;
      await this.#put(Buffer.from(`\n[log cut after ${this.maxBytes} bytes]\n`));
    }
  }

  async close(): Promise<void> {
    if (this.#omitted > 0) await this.#resume(closingMs);
    try {
      await this.#file.close();
    } catch (error) {
      this.#logger.warn("a log could not be closed", { path: this.path, error });
    }
  }

  async #put(bytes: Uint8Array): Promise<void> {
    if (this.#omitted > 0) {
      const soon = performance.now() - this.#triedAt < retryEveryMs;
      if (soon || !(await this.#resume(0))) {
        this.#omitted += bytes.length;
        return;
      }
    }
    const missing = await this.#writeAll(bytes, this.#patienceMs);
    if (missing === 0) return;
    this.#omitted = missing;
    this.#logger.warn("a log cannot be written; its text is left out until it can", {
      path: this.path,
      cause: this.#cause,
    });
  }

  /** Notes what is missing; false when the disk does not take that either. */
  async #resume(patienceMs: number): Promise<boolean> {
    const note = Buffer.from(`\n[${this.#omitted} bytes of the log could not be written: ${this.#cause}]\n`);
    if ((await this.#writeAll(note, patienceMs)) > 0) return false;
    this.#logger.info("a log can be written again", { path: this.path, bytesLeftOut: this.#omitted });
    this.#omitted = 0;
    return true;
  }

  /** Bytes that are still to be written after `patienceMs` of failing. */
  async #writeAll(bytes: Uint8Array, patienceMs: number): Promise<number> {
    let offset = 0;
    const write = async (): Promise<void> => {
      while (offset < bytes.length) {
        const { bytesWritten } = await this.#file.write(bytes, offset);
        offset += bytesWritten;
      }
    };
    try {
      await retry(write, {
        classify: () => "passing",
        delayMs: () => (patienceMs === 0 ? undefined : retryEveryMs),
        budget: { totalMs: patienceMs, doubtfulTries: 1 },
      });
    } catch (error) {
      this.#triedAt = performance.now();
      this.#cause = errorChain(toError(error));
    }
    return bytes.length - offset;
  }
}

/** A log for which no file could be made: its text is left out. */
export class LostLog implements LogWriter {
  readonly path: string;
  readonly maxBytes: number;

  /** `maxBytes`: 0 = no bound. */
  constructor(path: string, maxBytes: number) {
    this.path = path;
    this.maxBytes = maxBytes === 0 ? Number.POSITIVE_INFINITY : maxBytes;
  }

  async write(): Promise<void> {}

  async close(): Promise<void> {}
}
