/** Takes exact numbers of bytes from a stream of chunks. */
import { CompressionError } from "../errors.js";

/** A reader with a buffer of one chunk. All methods throw `truncated` when the stream ends too early. */
export class PullReader {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #chunk: Uint8Array = new Uint8Array(0);
  #offset = 0;
  #ended = false;
  readonly #small = Buffer.alloc(16);

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#chunks = source[Symbol.asyncIterator]();
  }

  /** Whether every byte was taken and no more will come. */
  async atEnd(): Promise<boolean> {
    while (this.#offset === this.#chunk.length && !this.#ended) {
      const next = await this.#chunks.next();
      if (next.done === true) this.#ended = true;
      else {
        this.#chunk = next.value;
        this.#offset = 0;
      }
    }
    return this.#offset === this.#chunk.length;
  }

  /** The next `count` (at most 16) bytes. They are overwritten by the next call. */
  async exactly(count: number): Promise<Buffer> {
    await this.into(this.#small, count);
    return this.#small;
  }

  /** Writes the next `count` bytes to the start of `target`. */
  async into(target: Uint8Array, count: number): Promise<void> {
    for (let filled = 0; filled < count; ) {
      const piece = await this.#take(count - filled);
      target.set(piece, filled);
      filled += piece.length;
    }
  }

  /** Passes over `count` bytes. */
  async skip(count: number): Promise<void> {
    for (let left = count; left > 0; ) left -= (await this.#take(left)).length;
  }

  /** Lets the source end early. */
  cancel(): void {
    // Not awaited: it may be waiting for data that need not come soon.
    if (!this.#ended) void this.#chunks.return?.()?.catch(() => undefined);
  }

  /** What is there, at most `limit` bytes. */
  async #take(limit: number): Promise<Uint8Array> {
    if (this.#offset === this.#chunk.length && (await this.atEnd())) {
      throw new CompressionError("truncated", "zstd: the data ends in the middle of a frame");
    }
    const piece = this.#chunk.subarray(this.#offset, this.#offset + limit);
    this.#offset += piece.length;
    return piece;
  }
}
