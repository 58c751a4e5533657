/**
 * Build logs on disk, where Hydra's front-end looks for them.
 *
 * The newest try of a derivation is `<directory>/<first 2 characters>/<rest of the base name>`; each earlier try is
 * kept beside it as `<path>.try<N>`, so a retry never destroys the log that explains why it was needed.
 */
import { type FileHandle, mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { StorePath } from "../nix/store-path.js";

export interface LogStoreOptions {
  /** Usually `<hydraDataDir>/build-logs`. Created when missing. */
  readonly directory: string;
  /** Bytes of one log after which the rest is dropped with a note. 0 = no bound. */
  readonly maxBytes: number;
  /** How many earlier tries of one derivation stay on disk. Default 9. */
  readonly keepTries?: number;
}

/** Receives one log in pieces; whatever was written can be read at once. */
export interface LogWriter {
  readonly path: string;
  write(chunk: Uint8Array): Promise<void>;
  close(): Promise<void>;
}

export class LogStore {
  readonly #directory: string;
  readonly #keepTries: number;
  #maxBytes: number;

  constructor(options: LogStoreOptions) {
    this.#directory = options.directory;
    this.#keepTries = options.keepTries ?? 9;
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

  /** Starts the log of a new try; an existing log moves to `<path>.try<N>` first. */
  async create(drv: StorePath): Promise<LogWriter> {
    const path = this.pathOf(drv);
    await mkdir(dirname(path), { recursive: true });
    await this.#keepEarlierTry(path);
    return new FileLogWriter(path, await open(path, "w", 0o666), this.#maxBytes);
  }

  /** Size in bytes of the newest log, or undefined when there is none. */
  async size(drv: StorePath): Promise<number | undefined> {
    try {
      return (await stat(this.pathOf(drv))).size;
    } catch {
      return undefined;
    }
  }

  async #keepEarlierTry(path: string): Promise<void> {
    const earlier = await stat(path).catch(() => undefined);
    if (earlier === undefined) return;
    const prefix = `${basename(path)}.try`;
    const tries = (await readdir(dirname(path)))
      .filter((name) => name.startsWith(prefix))
      .map((name) => Number.parseInt(name.slice(prefix.length), 10))
      .filter(Number.isSafeInteger)
      .sort((a, b) => a - b);
    await rename(path, `${path}.try${(tries.at(-1) ?? 0) + 1}`);
    const surplus = tries.slice(0, Math.max(0, tries.length + 1 - this.#keepTries));
    for (const n of surplus) await rm(`${path}.try${n}`, { force: true });
  }
}

class FileLogWriter implements LogWriter {
  readonly path: string;
  readonly #file: FileHandle;
  readonly #maxBytes: number;
  #written = 0;
  #cut = false;

  constructor(path: string, file: FileHandle, maxBytes: number) {
    this.path = path;
    this.#file = file;
    this.#maxBytes = maxBytes;
  }

  async write(chunk: Uint8Array): Promise<void> {
    if (this.#cut) return;
    const room = this.#maxBytes === 0 ? chunk.length : this.#maxBytes - this.#written;
    const part = chunk.length <= room ? chunk : chunk.subarray(0, Math.max(0, room));
    await this.#writeAll(part);
    this.#written += part.length;
    if (part.length < chunk.length) {
      this.#cut = true;
      await this.#writeAll(Buffer.from(`\n[log cut after ${this.#maxBytes} bytes]\n`));
    }
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  async #writeAll(bytes: Uint8Array): Promise<void> {
    let offset = 0;
    while (offset < bytes.length) {
      const { bytesWritten } = await this.#file.write(bytes, offset);
      offset += bytesWritten;
    }
  }
}
