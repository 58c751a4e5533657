/** Hashes and their texts: base 16, Nix's base 32, base 64, SRI. */

import { createHash } from "node:crypto";
import { aStream, aText, checkArgument, oneOf, someBytes } from "../../argument-checks.js";
import { aHash } from "../argument-rules.js";
import { NixFormatError } from "../errors.js";
import { decodeNix32, encodeNix32, nix32Length } from "./nix32.js";

/** Algorithms that Nix has. */
export type HashAlgorithm = "md5" | "sha1" | "sha256" | "sha512" | "blake3";

/** A digest and the algorithm that made it. */
export interface Hash {
  readonly algorithm: HashAlgorithm;
  readonly digest: Uint8Array;
}

/** How a digest is written. */
export type HashEncoding = "nix32" | "base16" | "base64" | "sri";

const digestSizes: Readonly<Record<HashAlgorithm, number>> = {
  md5: 16,
  sha1: 20,
  sha256: 32,
  sha512: 64,
  blake3: 32,
};

const anAlgorithm = oneOf(Object.keys(digestSizes));
const anEncoding = oneOf(["nix32", "base16", "base64", "sri"] satisfies readonly HashEncoding[]);

/** Bytes of a digest. */
export function digestSize(algorithm: HashAlgorithm): number {
  checkArgument("digestSize", "algorithm", algorithm, anAlgorithm);
  return digestSizes[algorithm];
}

/** Whether a text names an algorithm that is known here. */
export function isHashAlgorithm(text: string): text is HashAlgorithm {
  return Object.hasOwn(digestSizes, text);
}

/** @throws NixFormatError when the digest has not the algorithm's size */
export function makeHash(algorithm: HashAlgorithm, digest: Uint8Array): Hash {
  checkArgument("makeHash", "digest", digest, someBytes);
  if (digest.length !== digestSize(algorithm)) {
    throw new NixFormatError(
      "hash",
      `a ${algorithm} digest has ${digestSize(algorithm)} bytes, not ${digest.length}`,
    );
  }
  // A copy: a digest cut out of a pooled buffer would keep kilobytes alive, and a plain array compares by contents.
  return { algorithm, digest: new Uint8Array(digest) };
}

function decodeBase64(text: string, size: number): Uint8Array | undefined {
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(text) || text.length % 4 !== 0) return undefined;
  const bytes = Buffer.from(text, "base64");
  return bytes.length === size && bytes.toString("base64") === text ? bytes : undefined;
}

/**
 * Reads `<algo>:<digest>`, `<algo>-<base64>` (SRI), or, when `expected` is given, a bare digest.
 * The length tells the encoding.
 *
 * @throws NixFormatError
 */
export function parseHash(text: string, expected?: HashAlgorithm): Hash {
  checkArgument("parseHash", "text", text, aText);
  const separator = /[:-]/.exec(text);
  const prefix = separator === null ? undefined : text.slice(0, separator.index);
  const named = prefix !== undefined && isHashAlgorithm(prefix) ? prefix : undefined;
  const algorithm = named ?? expected;
  if (algorithm === undefined) {
    throw new NixFormatError("hash", `'${text.slice(0, 200)}' does not say its hash algorithm`);
  }
  if (expected !== undefined && algorithm !== expected) {
    throw new NixFormatError("hash", `'${text.slice(0, 200)}' should be a ${expected} hash`);
  }
  const body = named === undefined ? text : text.slice(named.length + 1);
  const sri = named !== undefined && separator?.[0] === "-";
  const size = digestSize(algorithm);
  if (!sri && body.length === size * 2 && /^[0-9a-fA-F]+$/.test(body)) {
    return makeHash(algorithm, Buffer.from(body, "hex"));
  }
  if (!sri && body.length === nix32Length(size)) return makeHash(algorithm, decodeNix32(body));
  const digest = decodeBase64(body, size);
  if (digest === undefined) {
    throw new NixFormatError(
      "hash",
      `'${text.slice(0, 200)}' is not a ${algorithm} hash in base 16, 32 or 64`,
    );
  }
  return makeHash(algorithm, digest);
}

/** `withAlgorithm` puts `<algo>:` in front (SRI always carries `<algo>-`). */
export function printHash(hash: Hash, encoding: HashEncoding, withAlgorithm = true): string {
  checkArgument("printHash", "hash", hash, aHash);
  checkArgument("printHash", "encoding", encoding, anEncoding);
  const bytes = Buffer.from(hash.digest.buffer, hash.digest.byteOffset, hash.digest.byteLength);
  if (encoding === "sri") return `${hash.algorithm}-${bytes.toString("base64")}`;
  const prefix = withAlgorithm ? `${hash.algorithm}:` : "";
  if (encoding === "nix32") return prefix + encodeNix32(hash.digest);
  return prefix + bytes.toString(encoding === "base16" ? "hex" : "base64");
}

/** Whether algorithm and digest are the same. */
export function hashesEqual(a: Hash, b: Hash): boolean {
  checkArgument("hashesEqual", "a", a, aHash);
  checkArgument("hashesEqual", "b", b, aHash);
  return a.algorithm === b.algorithm && Buffer.compare(a.digest, b.digest) === 0;
}

/** Takes bytes in pieces. */
export interface StreamingHasher {
  update(bytes: Uint8Array): void;
  finish(): Hash;
}

/** @throws NixFormatError for BLAKE3, which the platform cannot compute */
export function createHasher(algorithm: HashAlgorithm): StreamingHasher {
  if (algorithm === "blake3")
    throw new NixFormatError("hash", "BLAKE3 hashes can be carried but not computed");
  checkArgument("createHasher", "algorithm", algorithm, oneOf(["md5", "sha1", "sha256", "sha512"]));
  const state = createHash(algorithm);
  return {
    update: (bytes) => void state.update(bytes),
    finish: () => makeHash(algorithm, state.digest()),
  };
}

/** A stream that is hashed and counted while it is read. */
export class HashedStream implements AsyncIterable<Uint8Array> {
  readonly #source: AsyncIterable<Uint8Array>;
  readonly #hasher: StreamingHasher;
  #size = 0;

  /** @throws NixFormatError for BLAKE3, which the platform cannot compute */
  constructor(source: AsyncIterable<Uint8Array>, algorithm: HashAlgorithm = "sha256") {
    checkArgument("HashedStream", "source", source, aStream);
    this.#source = source;
    this.#hasher = createHasher(algorithm);
  }

  /** Bytes that were read so far. */
  get size(): number {
    return this.#size;
  }

  /** Hash of what was read; call it once, after the end. */
  finish(): Hash {
    return this.#hasher.finish();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for await (const piece of this.#source) {
      this.#hasher.update(piece);
      this.#size += piece.length;
      yield piece;
    }
  }
}

/** Hash of bytes at hand. @throws NixFormatError for BLAKE3 */
export function hashBytes(algorithm: HashAlgorithm, bytes: Uint8Array): Hash {
  checkArgument("hashBytes", "bytes", bytes, someBytes);
  const hasher = createHasher(algorithm);
  hasher.update(bytes);
  return hasher.finish();
}
