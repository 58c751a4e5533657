/** A temporary file without a name: written once from start to end, read in ranges while it grows. */
import { type FileHandle, mkdtemp, open, rm } from "node:fs/promises";
import { join } from "node:path";
import { whenThereIsRoom } from "../../async/index.js";
import type { ByteStream } from "../../nix/store/store.js";
import type { ObjectBody } from "../presigned/put-object.js";

const readPiece = 262_144;

/** A temporary file, unlinked as soon as it is open, so that nothing is left after a crash. */
export class SpoolFile implements AsyncDisposable {
  readonly #file: FileHandle;
  #size = 0;

  private constructor(file: FileHandle) {
    this.#file = file;
  }

  /** Makes a file in `directory` that disappears with the process. */
  static async create(directory: string): Promise<SpoolFile> {
    return whenThereIsRoom(async () => {
      const own = await mkdtemp(join(directory, "hydra-spool-"));
      try {
        return new SpoolFile(await open(join(own, "data"), "wx+", 0o600));
      } finally {
        await rm(own, { recursive: true, force: true });
      }
    });
  }

  /** Bytes written so far. */
  get size(): number {
    return this.#size;
  }

  /** Calls must not overlap. */
  async append(bytes: Uint8Array): Promise<void> {
    let written = 0;
    while (written < bytes.length) {
      const from = written;
      const { bytesWritten } = await whenThereIsRoom(() =>
        this.#file.write(bytes, from, bytes.length - from, this.#size + from),
      );
      written += bytesWritten;
    }
    this.#size += bytes.length;
  }

  /** A part that has been written already; it can be opened several times. */
  range(start: number, length: number): ObjectBody {
    return { length, open: () => this.#read(start, start + length) };
  }

  async close(): Promise<void> {
    await this.#file.close().catch(() => undefined);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async *#read(start: number, end: number): ByteStream {
    for (let at = start; at < end; ) {
      const wanted = Math.min(readPiece, end - at);
      const { bytesRead, buffer } = await this.#file.read(Buffer.allocUnsafe(wanted), 0, wanted, at);
      if (bytesRead === 0) throw new Error("a temporary file is shorter than it was");
      at += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  }
}
