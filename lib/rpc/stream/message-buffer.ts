/**
 * Assembles a message of known size. Memory is taken as bytes arrive, not by the size that was declared, and pieces are
 * copied: a piece of one byte may be a view that keeps 64 KiB alive.
 */

/** The first piece of memory, unless the message is smaller. */
const firstBytes = 1_024;
/** Largest piece of memory, so that taking one is never much work. */
const mostBytes = 1024 * 1024;

/** A message that is arriving. */
export class MessageBuffer {
  readonly #size: number;
  readonly #onGrow: (bytes: number) => void;
  /** All but the last are full. */
  readonly #blocks: Uint8Array[] = [];
  /** Bytes of the last block that are free. */
  #free = 0;
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
    const [first = new Uint8Array(0), ...others] = this.#blocks;
    if (others.length === 0) return first;
    const whole = plain(Buffer.concat(this.#blocks));
    this.#blocks.splice(0, this.#blocks.length, whole);
    return whole;
  }

  /** Takes what belongs to the message from the front of `chunk`; returns the number of bytes taken. */
  take(chunk: Uint8Array): number {
    const count = Math.min(chunk.length, this.missing);
    for (let at = 0; at < count; ) {
      const block = this.#lastBlock();
      const piece = chunk.subarray(at, Math.min(count, at + this.#free));
      block.set(piece, block.length - this.#free);
      this.#free -= piece.length;
      this.#length += piece.length;
      at += piece.length;
    }
    return count;
  }

  /** The block with room; a new one doubles what there is, up to the largest piece. */
  #lastBlock(): Uint8Array {
    const last = this.#blocks.at(-1);
    if (last !== undefined && this.#free > 0) return last;
    const size = Math.min(this.missing, Math.max(firstBytes, Math.min(this.#length, mostBytes)));
    this.#onGrow(size);
    // Not filled with zeros: every byte is written before the message can be read.
    const block = plain(Buffer.allocUnsafeSlow(size));
    this.#blocks.push(block);
    this.#free = size;
    return block;
  }
}

/** The same bytes without the methods of `Buffer`, whose `slice` does not copy. */
function plain({ buffer, byteOffset, length }: Buffer): Uint8Array {
  return new Uint8Array(buffer, byteOffset, length);
}
