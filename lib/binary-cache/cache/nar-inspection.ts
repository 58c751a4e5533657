/** Looks at a NAR while it passes: is it what was promised, and what is in it. */
import { NixFormatError } from "../../nix/errors.js";
import { ListingBuilder, type NarListing } from "../../nix/nar/listing.js";
import { NarParser } from "../../nix/nar/parser.js";
import { createHasher, type Hash, hashesEqual, printHash } from "../../nix/path/hash.js";
import { BinaryCacheError } from "../errors.js";

/** What a NAR is expected to be: hash and size in bytes, both of the uncompressed NAR. `path` is for error messages. */
export interface PromisedNar {
  readonly path: string;
  readonly narHash: Hash;
  readonly narSize: number;
}

/** Makes a listing of what passes, until that cannot be done. */
class ListingTap {
  readonly #parser = new NarParser();
  readonly #builder = new ListingBuilder();
  #fault: NixFormatError | undefined;

  get fault(): NixFormatError | undefined {
    return this.#fault;
  }

  push(chunk: Uint8Array): void {
    this.#guard(() => {
      for (const event of this.#parser.push(chunk)) this.#builder.add(event);
    });
  }

  finish(): NarListing | undefined {
    return this.#guard(() => {
      this.#parser.finish();
      return this.#builder.finish();
    });
  }

  #guard<T>(work: () => T): T | undefined {
    if (this.#fault !== undefined) return undefined;
    try {
      return work();
    } catch (error) {
      if (!(error instanceof NixFormatError)) throw error;
      this.#fault = error;
      return undefined;
    }
  }
}

/**
 * Checks one NAR against what was promised while it passes through, and makes its listing on the way where that is
 * wanted.
 */
export class NarInspection {
  readonly #promised: PromisedNar;
  readonly #wantsListing: boolean;
  #listing: NarListing | undefined;
  #listingFault: NixFormatError | undefined;

  constructor(promised: PromisedNar, options: { readonly listing: boolean }) {
    this.#promised = promised;
    this.#wantsListing = options.listing;
  }

  /** What was found, once the NAR has passed; undefined when not wanted, or when there cannot be one. */
  get listing(): NarListing | undefined {
    return this.#listing;
  }

  /** Why the NAR could not be listed. */
  get listingFault(): NixFormatError | undefined {
    return this.#listingFault;
  }

  /**
   * Passes the NAR on. The end is reached only when size and hash are the promised ones.
   *
   * @throws BinaryCacheError (`mismatch`)
   */
  async *pass(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    const { narSize } = this.#promised;
    const hasher = createHasher("sha256");
    const tap = this.#wantsListing ? new ListingTap() : undefined;
    let size = 0;
    for await (const chunk of source) {
      size += chunk.length;
      if (size > narSize) throw this.#mismatch(`it is longer than ${narSize} bytes`);
      hasher.update(chunk);
      tap?.push(chunk);
      yield chunk;
    }
    if (size !== narSize) throw this.#mismatch(`it has ${size} bytes, not ${narSize}`);
    const hash = hasher.finish();
    if (!hashesEqual(hash, this.#promised.narHash)) {
      const promised = printHash(this.#promised.narHash, "nix32");
      throw this.#mismatch(`its hash is ${printHash(hash, "nix32")}, not ${promised}`);
    }
    this.#listing = tap?.finish();
    this.#listingFault = tap?.fault;
  }

  #mismatch(what: string): BinaryCacheError {
    return new BinaryCacheError(
      "mismatch",
      `the NAR of ${this.#promised.path} is not what the store says: ${what}`,
    );
  }
}

/** Counts and hashes the bytes that pass, for `FileSize` and `FileHash`. */
export class FileMeter {
  #size = 0;
  readonly #hasher = createHasher("sha256");

  get size(): number {
    return this.#size;
  }

  /** May be called once. */
  finish(): Hash {
    return this.#hasher.finish();
  }

  async *pass(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of source) {
      this.add(chunk);
      yield chunk;
    }
  }

  add(bytes: Uint8Array): void {
    this.#size += bytes.length;
    this.#hasher.update(bytes);
  }
}
