/** Bytes that are pushed in chunks and taken in pieces of a known size, without waiting where they are at hand. */

/** For one parser: a generator that yields whenever it needs the next chunk. */
export class ByteSource {
  #chunk: Uint8Array = new Uint8Array(0);
  #offset = 0;
  #position = 0;
  #ended = false;

  /** Bytes taken so far. */
  get position(): number {
    return this.#position;
  }

  /** Whether bytes were pushed that have not been taken. */
  get hasMore(): boolean {
    return this.#offset < this.#chunk.length;
  }

  /** Everything that was pushed before must have been taken. It is not kept beyond that. */
  push(chunk: Uint8Array): void {
    this.#chunk = chunk;
    this.#offset = 0;
  }

  /** No more chunks will be pushed. */
  end(): void {
    this.#ended = true;
  }

  /** The next `size` bytes, when they are at hand in one piece; a view. */
  take(size: number): Uint8Array | undefined {
    const end = this.#offset + size;
    if (end > this.#chunk.length) return undefined;
    const part = this.#chunk.subarray(this.#offset, end);
    this.#offset = end;
    this.#position += size;
    return part;
  }

  /** Takes `expected` if that is what comes next, and is at hand; otherwise nothing. */
  skip(expected: Uint8Array): boolean {
    const size = expected.length;
    const chunk = this.#chunk;
    const from = this.#offset;
    if (from + size > chunk.length) return false;
    for (let at = 0; at < size; at++) if (chunk[from + at] !== expected[at]) return false;
    this.#offset += size;
    this.#position += size;
    return true;
  }

  /** The next bytes, at least one and at most `limit`, as a view; undefined at the end. */
  *some(limit: number): Generator<undefined, Uint8Array | undefined> {
    while (!this.hasMore) {
      if (this.#ended) return undefined;
      yield undefined;
    }
    return this.take(Math.min(limit, this.#chunk.length - this.#offset));
  }

  /** Exactly `size` bytes in one piece; undefined when they end before. For small sizes. */
  *exactly(size: number): Generator<undefined, Uint8Array | undefined> {
    const whole = this.take(size);
    if (whole !== undefined) return whole;
    const bytes = new Uint8Array(size);
    for (let filled = 0; filled < size; ) {
      const part = yield* this.some(size - filled);
      if (part === undefined) return undefined;
      bytes.set(part, filled);
      filled += part.length;
    }
    return bytes;
  }
}
