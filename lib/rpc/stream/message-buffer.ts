/**
 * Assembles a message of known size. Memory is taken as bytes arrive, not by the size that was declared, and pieces are
 * copied: a piece of one byte may be a view that keeps 64 KiB alive.
 */

/** The first piece of memory, unless the message is smaller. */
const firstBytes = 1_024;

/** A message that is arriving. */
export class MessageBuffer {
  readonly #size: number;
  readonly #onGrow: (bytes: number) => void;
  #bytes = new Uint8Array(0);
  #length = 0;

  /** `onGrow` is called with the number of further bytes before they are taken; it may throw to refuse them. */
  constructor(size: number, onGrow: (bytes: number) => void = () => {}) {
    this.#size = size;
    this.#onGrow = onGrow;
  }

  /** Bytes that have not arrived yet. */
  get missing(): number {
    return this.#size - this.#length;
  }

  /** The whole message, once nothing is missing. */
  get bytes(): Uint8Array {
    return this.#bytes;
  }

  /** Takes what belongs to the message from the front of `chunk`; returns the number of bytes taken. */
  take(chunk: Uint8Array): number {
    const count = Math.min(chunk.length, this.missing);
    const end = this.#length + count;
    if (end > this.#bytes.length) {
      const capacity = Math.min(this.#size, Math.max(end, 2 * this.#bytes.length, firstBytes));
      this.#onGrow(capacity - this.#bytes.length);
      const grown = new Uint8Array(capacity);
      grown.set(this.#bytes.subarray(0, this.#length));
      this.#bytes = grown;
    }
    this.#bytes.set(chunk.subarray(0, count), this.#length);
    this.#length = end;
    return count;
  }
}
