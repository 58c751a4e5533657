/** The last bytes of a frame, which later ones may repeat. Grows with what was decoded, up to the window. */
import { corrupt } from "./entropy.js";

/** A frame's output: the bytes of the current block, and as much of what came before as its window says. */
export class History {
  readonly #window: number;
  /** Most bytes of the buffer: the window, and room to append without moving it each time. */
  readonly #capacity: number;
  #bytes = new Uint8Array(0);
  #end = 0;
  #blockStart = 0;

  /** `window` in bytes; `block` is the most that is appended between two calls of `beginBlock`. */
  constructor(window: number, block: number) {
    this.#window = window;
    this.#capacity = window + Math.max(block, Math.min(window >> 1, 4 << 20));
  }

  /** Makes room for a block of up to `size` bytes. Moves earlier bytes, but not those of `block()`. */
  beginBlock(size: number): void {
    if (this.#end + size > this.#capacity) {
      const kept = Math.min(this.#window, this.#end);
      this.#bytes.copyWithin(0, this.#end - kept, this.#end);
      this.#end = kept;
    }
    const needed = this.#end + size;
    if (needed > this.#bytes.length) {
      const larger = new Uint8Array(Math.min(this.#capacity, Math.max(needed, this.#bytes.length * 2)));
      larger.set(this.#bytes.subarray(0, this.#end));
      this.#bytes = larger;
    }
    this.#blockStart = this.#end;
  }

  /** A copy of what was appended since `beginBlock`. */
  block(): Uint8Array {
    return this.#bytes.slice(this.#blockStart, this.#end);
  }

  /** Appends `source[from, to)`. */
  append(source: Uint8Array, from: number, to: number): void {
    const bytes = this.#bytes;
    let at = this.#end;
    this.#end += to - from;
    if (to - from > 32) bytes.set(source.subarray(from, to), at);
    else for (let i = from; i < to; i++) bytes[at++] = source[i] ?? 0;
  }

  /** Appends one byte `count` times. */
  repeat(byte: number, count: number): void {
    this.#bytes.fill(byte, this.#end, this.#end + count);
    this.#end += count;
  }

  /** Appends `length` bytes that begin `offset` before the end. @throws CompressionError (`corrupt`) */
  copy(offset: number, length: number): void {
    if (offset < 1 || offset > this.#window || offset > this.#end) throw corrupt("a match is too far back");
    const bytes = this.#bytes;
    let at = this.#end;
    let from = at - offset;
    this.#end += length;
    if (length > 32 && offset >= length) bytes.copyWithin(at, from, from + length);
    else for (const end = this.#end; at < end; at++) bytes[at] = bytes[from++] ?? 0;
  }
}
