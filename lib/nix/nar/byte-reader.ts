/** Reads a byte stream in pieces of a known size, without ever holding more than it was asked for. */

/** Reads an async iterable of chunks as a sequence of bytes. One read at a time. */
export class ByteReader {
  readonly #source: AsyncIterator<Uint8Array>;
  #chunk: Uint8Array = new Uint8Array(0);
  #offset = 0;
  #ended = false;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** The next bytes, at least one and at most `limit`; undefined at the end of the stream. No copy is made. */
  async some(limit: number): Promise<Uint8Array | undefined> {
    while (this.#offset >= this.#chunk.length) {
      if (this.#ended) return undefined;
      const next = await this.#source.next();
      if (next.done === true) {
        this.#ended = true;
        return undefined;
      }
      this.#chunk = next.value;
      this.#offset = 0;
    }
    const end = Math.min(this.#chunk.length, this.#offset + limit);
    const part = this.#chunk.subarray(this.#offset, end);
    this.#offset = end;
    return part;
  }

  /** Whether the stream is over; waits for more data or for the end. */
  async atEnd(): Promise<boolean> {
    while (this.#offset >= this.#chunk.length) {
      if (this.#ended) return true;
      const next = await this.#source.next();
      if (next.done === true) {
        this.#ended = true;
        return true;
      }
      this.#chunk = next.value;
      this.#offset = 0;
    }
    return false;
  }

  /** Tells the source that nothing more will be read. */
  async cancel(): Promise<void> {
    this.#ended = true;
    this.#chunk = new Uint8Array(0);
    this.#offset = 0;
    await this.#source.return?.();
  }
}
