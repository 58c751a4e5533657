/** Encodes the primitives of the worker protocol into one growing buffer. */
import type { ByteString } from "../../path/byte-string.js";

/** Grows a buffer of encoded primitives. */
export class WireWriter {
  #buffer: Buffer;
  #length = 0;

  constructor(capacity = 512) {
    this.#buffer = Buffer.alloc(capacity);
  }

  get length(): number {
    return this.#length;
  }

  /** An unsigned 64-bit number. */
  u64(value: number | bigint): this {
    this.#reserve(8);
    if (typeof value === "bigint") {
      this.#buffer.writeBigUInt64LE(BigInt.asUintN(64, value), this.#length);
    } else {
      if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`Not an unsigned number: ${value}`);
      this.#buffer.writeUInt32LE(value % 0x1_0000_0000, this.#length);
      this.#buffer.writeUInt32LE(Math.floor(value / 0x1_0000_0000), this.#length + 4);
    }
    this.#length += 8;
    return this;
  }

  bool(value: boolean): this {
    return this.u64(value ? 1 : 0);
  }

  /** Length, bytes, zero padding. */
  bytes(value: Uint8Array): this {
    this.u64(value.length);
    const padding = (8 - (value.length % 8)) % 8;
    this.#reserve(value.length + padding);
    this.#buffer.set(value, this.#length);
    this.#buffer.fill(0, this.#length + value.length, this.#length + value.length + padding);
    this.#length += value.length + padding;
    return this;
  }

  /** A string as UTF-8. */
  text(value: string): this {
    return this.bytes(Buffer.from(value, "utf8"));
  }

  /** A string that holds one byte per character. */
  byteString(value: ByteString): this {
    return this.bytes(Buffer.from(value, "latin1"));
  }

  /** A counted sequence. */
  list<T>(items: readonly T[], item: (value: T) => void): this {
    this.u64(items.length);
    for (const each of items) item(each);
    return this;
  }

  /** What was written so far; the writer continues with a new buffer. */
  take(): Uint8Array {
    const taken = this.#buffer.subarray(0, this.#length);
    this.#buffer = Buffer.alloc(512);
    this.#length = 0;
    return taken;
  }

  #reserve(count: number): void {
    if (this.#length + count <= this.#buffer.length) return;
    const larger = Buffer.alloc(Math.max(this.#buffer.length * 2, this.#length + count));
    this.#buffer.copy(larger, 0, 0, this.#length);
    this.#buffer = larger;
  }
}
