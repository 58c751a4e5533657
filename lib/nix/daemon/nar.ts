/**
 * Finds the end of a NAR inside a longer byte stream.
 *
 * A daemon sends a NAR without any frame around it, so only its grammar says where it ends. When the daemon fails in
 * the middle, an ERROR message stands where a token should begin; its code, read as a length, is far above any
 * token's, which tells the two apart.
 */

import type { ByteStream } from "../store/store.js";
import { DaemonError } from "./error.js";
import { stderrCode } from "./protocol/numbers.js";
import type { WireReader } from "./protocol/reader.js";
import { readErrorBody } from "./protocol/stderr.js";

/** Longest keyword, name or symlink target. */
const maxTokenLength = 64 << 10;
/** Deeper trees than file systems allow are an attack. */
const maxDepth = 10_000;

/** Follows the grammar of one NAR in bytes that are pushed, to find where it ends. */
export class NarBoundary {
  #depth = 0;
  #started = false;
  #done = false;
  #failed = false;
  /** What the next token is: a keyword of the grammar, a free text, or the contents of a file. */
  #expected: "keyword" | "text" | "contents" = "keyword";
  readonly #header = Buffer.alloc(8);
  #headerLength = 0;
  /** Bytes of the current token and of its padding that are still to come; undefined before its length is known. */
  #rest = -1;
  #padding = 0;
  #token = "";

  /** The NAR is over. */
  get done(): boolean {
    return this.#done;
  }

  /** The daemon's ERROR code stood where a token should begin; it has been taken. */
  get failed(): boolean {
    return this.#failed;
  }

  /** Looks at the next bytes and says how many of them belong to the NAR. `onContents` gets file contents. */
  push(bytes: Uint8Array, onContents?: (piece: Uint8Array) => void): number {
    let at = 0;
    while (at < bytes.length && !this.#done && !this.#failed) {
      if (this.#rest < 0) {
        const taken = Math.min(8 - this.#headerLength, bytes.length - at);
        this.#header.set(bytes.subarray(at, at + taken), this.#headerLength);
        this.#headerLength += taken;
        at += taken;
        if (this.#headerLength === 8) this.#beginToken();
      } else if (this.#rest > 0) {
        const piece = bytes.subarray(at, at + this.#rest);
        if (this.#expected === "contents") onContents?.(piece);
        else if (this.#expected === "keyword") this.#token += Buffer.from(piece).toString("latin1");
        this.#rest -= piece.length;
        at += piece.length;
      } else {
        const taken = Math.min(this.#padding, bytes.length - at);
        this.#padding -= taken;
        at += taken;
      }
      if (this.#rest === 0 && this.#padding === 0 && !this.#failed) this.#endToken();
    }
    return at;
  }

  #beginToken(): void {
    const length = this.#header.readUInt32LE(0) + this.#header.readUInt32LE(4) * 0x1_0000_0000;
    this.#headerLength = 0;
    if (this.#expected !== "contents") {
      if (length === stderrCode.error) {
        this.#failed = true;
        return;
      }
      if (length > maxTokenLength) throw new DaemonError("protocol", "The nix-daemon sent a malformed NAR");
    }
    this.#rest = length;
    this.#padding = (8 - (length % 8)) % 8;
    this.#token = "";
  }

  #endToken(): void {
    const word = this.#expected === "keyword" ? this.#token : undefined;
    this.#rest = -1;
    this.#expected = "keyword";
    if (word === undefined) return;
    if (!this.#started) {
      if (word !== "nix-archive-1")
        throw new DaemonError("protocol", "The nix-daemon sent something other than a NAR");
      this.#started = true;
      return;
    }
    switch (word) {
      case "(":
        if (++this.#depth > maxDepth)
          throw new DaemonError("protocol", "The nix-daemon sent a NAR that is nested too deeply");
        break;
      case ")":
        this.#done = --this.#depth <= 0;
        break;
      case "type":
      case "name":
      case "target":
      case "executable":
        this.#expected = "text";
        break;
      case "contents":
        this.#expected = "contents";
        break;
      case "entry":
      case "node":
        break;
      default:
        throw new DaemonError("protocol", "The nix-daemon sent a malformed NAR");
    }
  }
}

/**
 * The bytes of one NAR from a connection. `lent`: a piece is overwritten once the next one is asked for. Throws the daemon's
 * error when it fails in the middle.
 */
export async function* readNar(
  reader: WireReader,
  expectedSize?: number,
  pieces: "kept" | "lent" = "kept",
): ByteStream {
  const boundary = new NarBoundary();
  let size = 0;
  while (!boundary.done) {
    const available = await reader.peek();
    const count = boundary.push(available);
    if (boundary.failed) {
      reader.skip(count);
      throw await readErrorBody(reader);
    }
    size += count;
    if (expectedSize !== undefined && size > expectedSize) throw sizeMismatch(expectedSize, "more");
    const piece = available.subarray(0, count);
    reader.skip(count);
    yield pieces === "lent" ? piece : Buffer.from(piece);
  }
  if (expectedSize !== undefined && size !== expectedSize) throw sizeMismatch(expectedSize, String(size));
}

/** The error for a NAR that has not the size of its path info. */
export function sizeMismatch(expected: number, actual: string): DaemonError {
  return new DaemonError("size-mismatch", `A NAR should have ${expected} bytes but has ${actual}`);
}

/** The contents of a NAR that holds a single regular file. Rejects above `limit` bytes. */
export async function narFileContents(nar: ByteStream, limit: number): Promise<Uint8Array> {
  const boundary = new NarBoundary();
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const piece of nar) {
    boundary.push(piece, (contents) => {
      size += contents.length;
      if (size > limit)
        throw new DaemonError("protocol", `A file of more than ${limit} bytes is not expected here`);
      parts.push(contents);
    });
  }
  return Buffer.concat(parts);
}
