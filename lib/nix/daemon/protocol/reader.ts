/**
 * Reads the primitives of the worker protocol from a byte source that is pulled, never pushed: while no caller asks for
 * the next value, nothing is read and the kernel slows the sender down.
 *
 * Integers are 8 bytes little endian; strings are a length, the bytes and zero padding to a multiple of 8. No length
 * is believed: memory grows only with bytes that have arrived, and every string has a limit.
 */
import { DaemonError } from "../error.js";

/** Where bytes are pulled from. */
export interface ByteSource {
  /** The next bytes, at least one; `undefined` at the end. They may be overwritten once it is called again. */
  read(): Promise<Uint8Array | undefined>;
}

/** Longest path, hash, signature, name or JSON text that is accepted, in bytes. */
const maxStringLength = 16 << 20;

/** Most elements of a list: far more than there are paths in the largest stores. */
const maxListLength = 16 << 20;

/**
 * Mostly the bytes of a value are at hand, and it is given at once: a promise for each of the many small numbers of an
 * answer would cost more than everything else that is done with it.
 */
export type Soon<T> = T | Promise<T>;

const empty = new Uint8Array(0);
const twoTo32 = 0x1_0000_0000;

/** Decodes the primitives of the worker protocol. */
export class WireReader {
  readonly #source: ByteSource;
  #chunk: Uint8Array = empty;
  #at = 0;

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
  u64(): Soon<bigint> {
    const at = this.#word();
    return at === undefined ? this.#lateWord().then((bytes) => bigOf(bytes, 0)) : bigOf(this.#chunk, at);
  }

  /** An unsigned number that must be exact as a JavaScript number (sizes, counts, codes). */
  number(): Soon<number> {
    const at = this.#word();
    return at === undefined
      ? this.#lateWord().then((bytes) => numberOf(bytes, 0))
      : numberOf(this.#chunk, at);
  }

  /** A signed 64-bit number that must be exact as a JavaScript number. */
  async signed(): Promise<number> {
    const value = Number(BigInt.asIntN(64, await this.u64()));
    if (!Number.isSafeInteger(value)) throw tooLarge();
    return value;
  }

  async bool(): Promise<boolean> {
    return (await this.u64()) !== 0n;
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
    return this.#padded(length);
  }

  /** A byte string as UTF-8 text. */
  async text(limit = maxStringLength): Promise<string> {
    return Buffer.from(await this.bytes(limit)).toString("utf8");
  }

  /** The first `keep` bytes of a string of any length; the rest is read and dropped. */
  async clipped(keep: number): Promise<Uint8Array> {
    const length = await this.number();
    if (length <= keep) return this.#padded(length);
    const value = await this.#exactly(keep);
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

  /**
   * A counted sequence. Memory grows with the elements that have come, and a count beyond `maxListLength` is refused.
   * @param keep elements that are kept; those behind them are read and dropped. Default: all
   * @throws DaemonError `protocol`
   */
  async list<T>(item: () => Soon<T>, keep = maxListLength): Promise<T[]> {
    const items: T[] = [];
    const count = await this.number();
    if (count > maxListLength) {
      throw new DaemonError(
        "protocol",
        `The nix-daemon sent a list of ${count} elements where ${maxListLength} are allowed`,
      );
    }
    for (let index = 0; index < count; index++) {
      const value = await item();
      if (index < keep) items.push(value);
    }
    return items;
  }

  /** Takes a word that is at hand; where it lies in the chunk. */
  #word(): number | undefined {
    const at = this.#at;
    if (this.#chunk.length - at < 8) return undefined;
    this.#at += 8;
    return at;
  }

  /** A word that is not at hand as a whole. */
  async #lateWord(): Promise<Uint8Array> {
    const bytes = new Uint8Array(8);
    for (let filled = 0; filled < 8; ) {
      const available = await this.peek();
      const taken = Math.min(8 - filled, available.length);
      bytes.set(available.subarray(0, taken), filled);
      this.skip(taken);
      filled += taken;
    }
    return bytes;
  }

  /** The contents of a string, and its padding. */
  async #padded(length: number): Promise<Uint8Array> {
    const value = await this.#exactly(length);
    if (length % 8 !== 0) await this.#padding(length);
    return value;
  }

  async #exactly(length: number): Promise<Uint8Array> {
    if (this.buffered >= length) {
      // A Buffer's own `slice` does not copy.
      const value = Uint8Array.prototype.slice.call(this.#chunk, this.#at, this.#at + length);
      this.skip(length);
      return value;
    }
    const parts: Uint8Array[] = [];
    for (let rest = length; rest > 0; ) {
      const available = await this.peek();
      const part = available.length > rest ? available.subarray(0, rest) : available;
      parts.push(Buffer.from(part));
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

function tooLarge(): DaemonError {
  return new DaemonError("protocol", "The nix-daemon sent a number that is too large");
}

function numberOf(bytes: Uint8Array, at: number): number {
  const high = littleEndian32(bytes, at + 4);
  if (high >= 0x20_0000) throw tooLarge();
  return high * twoTo32 + littleEndian32(bytes, at);
}

function bigOf(bytes: Uint8Array, at: number): bigint {
  return (BigInt(littleEndian32(bytes, at + 4)) << 32n) | BigInt(littleEndian32(bytes, at));
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
