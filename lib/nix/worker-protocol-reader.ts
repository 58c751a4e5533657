/**
 * Reads the primitives of the worker protocol from a byte source that is pulled, never pushed: when nobody asks for
 * the next value, nothing is read and the kernel slows the sender down.
 *
 * Integers are 8 bytes little endian; strings are a length, the bytes and zero padding to a multiple of 8. No length
 * is believed: memory grows only with bytes that have arrived, and every string has a limit.
 */
import { DaemonError } from "./daemon-error.js";

export interface ByteSource {
  /** The next bytes, at least one; `undefined` at the end. */
  read(): Promise<Uint8Array | undefined>;
}

/** Longest path, hash, signature, name or JSON text that is accepted, in bytes. */
export const maxStringLength = 16 << 20;

const empty = new Uint8Array(0);
const twoTo32 = 0x1_0000_0000;

export class WireReader {
  readonly #source: ByteSource;
  #chunk: Uint8Array = empty;
  #at = 0;
  readonly #scratch = new Uint8Array(8);

  constructor(source: ByteSource) {
    this.#source = source;
  }

  /** Bytes that have been read from the source and not been taken yet. */
  get buffered(): number {
    return this.#chunk.length - this.#at;
  }

  /** The bytes at hand, at least one (waits for them); they stay until `skip` takes them. */
  async peek(): Promise<Uint8Array> {
    if (this.#at === this.#chunk.length) {
      const next = await this.#source.read();
      if (next === undefined) throw new DaemonError("closed", "The nix-daemon closed the connection");
      this.#chunk = next;
      this.#at = 0;
    }
    return this.#at === 0 ? this.#chunk : this.#chunk.subarray(this.#at);
  }

  /** Takes `count` bytes of what `peek` returned. */
  skip(count: number): void {
    this.#at += count;
  }

  /** An unsigned 64-bit number of any size. */
  async u64(): Promise<bigint> {
    const { low, high } = await this.#word();
    return (BigInt(high) << 32n) | BigInt(low);
  }

  /** An unsigned number that must be exact as a JavaScript number (sizes, counts, codes). */
  async number(): Promise<number> {
    const { low, high } = await this.#word();
    if (high >= 0x20_0000)
      throw new DaemonError("protocol", "The nix-daemon sent a number that is too large");
    return high * twoTo32 + low;
  }

  /** A signed 64-bit number that must be exact as a JavaScript number. */
  async signed(): Promise<number> {
    const value = Number(BigInt.asIntN(64, await this.u64()));
    if (!Number.isSafeInteger(value)) {
      throw new DaemonError("protocol", "The nix-daemon sent a number that is too large");
    }
    return value;
  }

  async bool(): Promise<boolean> {
    const { low, high } = await this.#word();
    return low !== 0 || high !== 0;
  }

  /** A byte string of at most `limit` bytes, as a copy. */
  async bytes(limit = maxStringLength): Promise<Uint8Array> {
    const length = await this.number();
    if (length > limit) {
      throw new DaemonError(
        "protocol",
        `The nix-daemon sent a string of ${length} bytes where ${limit} are allowed`,
      );
    }
    const value = await this.#exactly(length);
    await this.#padding(length);
    return value;
  }

  /** A byte string as UTF-8 text. */
  async text(limit = maxStringLength): Promise<string> {
    return Buffer.from(await this.bytes(limit)).toString("utf8");
  }

  /** The first `keep` bytes of a string of any length; the rest is read and dropped. */
  async clipped(keep: number): Promise<Uint8Array> {
    const length = await this.number();
    const value = await this.#exactly(Math.min(length, keep));
    let rest = length - value.length;
    while (rest > 0) {
      const taken = Math.min(rest, (await this.peek()).length);
      this.skip(taken);
      rest -= taken;
    }
    await this.#padding(length);
    return value;
  }

  /**
   * Hands a string of any length to `sink` in pieces of `pieceSize` bytes (the last one shorter). `sink` gets at
   * least one call, and exactly one with `complete`. Waits for each call.
   */
  async pieces(
    pieceSize: number,
    sink: (piece: Uint8Array, complete: boolean) => void | Promise<void>,
  ): Promise<void> {
    const length = await this.number();
    let rest = length;
    do {
      const piece = await this.#exactly(Math.min(rest, pieceSize));
      rest -= piece.length;
      if (rest === 0) await this.#padding(length);
      await sink(piece, rest === 0);
    } while (rest > 0);
  }

  /** A counted sequence. */
  async list<T>(item: () => Promise<T>): Promise<T[]> {
    const items: T[] = [];
    for (let rest = await this.number(); rest > 0; rest--) items.push(await item());
    return items;
  }

  async #word(): Promise<{ low: number; high: number }> {
    let bytes = this.#chunk;
    let at = this.#at;
    if (bytes.length - at >= 8) {
      this.#at += 8;
    } else {
      bytes = this.#scratch;
      for (let filled = 0; filled < 8; ) {
        const available = await this.peek();
        const taken = Math.min(8 - filled, available.length);
        bytes.set(available.subarray(0, taken), filled);
        this.skip(taken);
        filled += taken;
      }
      at = 0;
    }
    return { low: littleEndian32(bytes, at), high: littleEndian32(bytes, at + 4) };
  }

  async #exactly(length: number): Promise<Uint8Array> {
    if (this.buffered >= length) {
      const value = this.#chunk.slice(this.#at, this.#at + length);
      this.skip(length);
      return value;
    }
    const parts: Uint8Array[] = [];
    for (let rest = length; rest > 0; ) {
      const available = await this.peek();
      const part = available.length > rest ? available.subarray(0, rest) : available;
      parts.push(part);
      this.skip(part.length);
      rest -= part.length;
    }
    return new Uint8Array(Buffer.concat(parts));
  }

  async #padding(length: number): Promise<void> {
    for (let rest = (8 - (length % 8)) % 8; rest > 0; ) {
      const available = await this.peek();
      const taken = Math.min(rest, available.length);
      for (let i = 0; i < taken; i++) {
        if (available[i] !== 0)
          throw new DaemonError("protocol", "The nix-daemon padded a string with non-zero bytes");
      }
      this.skip(taken);
      rest -= taken;
    }
  }
}

function littleEndian32(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] ?? 0) |
      ((bytes[at + 1] ?? 0) << 8) |
      ((bytes[at + 2] ?? 0) << 16) |
      ((bytes[at + 3] ?? 0) << 24)) >>>
    0
  );
}
