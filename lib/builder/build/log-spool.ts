/**
 * The text of one build's log between the daemon and the runner.
 *
 * The daemon must never wait for the network, and a log that was cut off must be sendable from its start. So the text is
 * kept: its first part in memory, what is beyond that in a file that has no name any more.
 */
import { type FileHandle, mkdtemp, open, rm } from "node:fs/promises";
import { join } from "node:path";
import { withSignal } from "../../async/index.js";
import type { ByteStream } from "../../nix/store/store.js";

const readPiece = 65_536;

/** Where the text of a log is kept until it is sent. */
export interface LogSpoolOptions {
  /** Where the file is made. */
  readonly directory: string;
  /** Bytes kept in memory. Default 256 KiB. */
  readonly memory?: number;
}

/**
 * A queue of bytes with one writer and one reader, which spills to a temporary file: a slow runner does not slow a
 * build down, and memory stays bounded.
 */
export class LogSpool {
  readonly #options: LogSpoolOptions;
  readonly #memoryLimit: number;
  readonly #pieces: Uint8Array[] = [];
  #memory = 0;
  #file: FileHandle | undefined;
  #filed = 0;
  #ended = false;
  /** Comes after everything else; in memory, whatever the disk does. */
  #last: Uint8Array | undefined;
  #grown: () => void = () => {};
  #growth: Promise<void>;

  constructor(options: LogSpoolOptions) {
    this.#options = options;
    this.#memoryLimit = options.memory ?? 262_144;
    this.#growth = this.#nextGrowth();
  }

  /** Bytes of text. */
  get size(): number {
    return this.#memory + this.#filed;
  }

  /** Appends; calls must not overlap. @throws when the disk is full */
  async append(bytes: Uint8Array): Promise<void> {
    if (this.#ended || bytes.length === 0) return;
    // Once there is a file everything goes there, so that positions stay in order.
    if (this.#file === undefined && this.#memory + bytes.length <= this.#memoryLimit) {
      this.#pieces.push(Uint8Array.from(bytes));
      this.#memory += bytes.length;
    } else {
      this.#file ??= await this.#open();
      let written = 0;
      while (written < bytes.length) {
        const { bytesWritten } = await this.#file.write(bytes, written, undefined, this.#filed + written);
        written += bytesWritten;
      }
      this.#filed += bytes.length;
    }
    this.#announce();
  }

  /** No more text will come, but for `last`, which may be a short note. */
  end(last?: Uint8Array): void {
    if (!this.#ended) this.#last = last;
    this.#ended = true;
    this.#announce();
  }

  /** All text from the start, waiting for more until `end()`. Several readers may be at work. */
  async *read(signal: AbortSignal): ByteStream {
    let index = 0;
    let offset = 0;
    for (;;) {
      const growth = this.#growth;
      if (index < this.#pieces.length) {
        const batch = this.#pieces.slice(index);
        index = this.#pieces.length;
        yield batch.length === 1 && batch[0] !== undefined ? batch[0] : Buffer.concat(batch);
      } else if (this.#file !== undefined && offset < this.#filed) {
        const wanted = Math.min(readPiece, this.#filed - offset);
        const { bytesRead, buffer } = await this.#file.read(Buffer.allocUnsafe(wanted), 0, wanted, offset);
        if (bytesRead === 0) throw new Error("the log file became shorter");
        offset += bytesRead;
        yield buffer.subarray(0, bytesRead);
      } else if (this.#ended) {
        if (this.#last !== undefined) yield this.#last;
        return;
      } else {
        await withSignal(growth, signal);
      }
    }
  }

  async close(): Promise<void> {
    this.end();
    await this.#file?.close().catch(() => undefined);
  }

  async #open(): Promise<FileHandle> {
    const directory = await mkdtemp(join(this.#options.directory, "hydra-log-"));
    try {
      return await open(join(directory, "log"), "wx+", 0o600);
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  }

  #announce(): void {
    const grown = this.#grown;
    this.#growth = this.#nextGrowth();
    grown();
  }

  #nextGrowth(): Promise<void> {
    return new Promise((resolve) => {
      this.#grown = resolve;
    });
  }
}
