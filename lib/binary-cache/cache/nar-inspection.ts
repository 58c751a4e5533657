/** Looks at a NAR while it passes: is it what was promised, and what is in it. */
import { NixFormatError } from "../../nix/errors.js";
import { ListingBuilder, type NarListing } from "../../nix/nar/listing.js";
import { parseNar } from "../../nix/nar/parser.js";
import { createHasher, type Hash, hashesEqual, printHash } from "../../nix/path/hash.js";
import { BinaryCacheError } from "../errors.js";

/** What a NAR is expected to be: hash and size in bytes, both of the uncompressed NAR. `path` is for error messages. */
export interface PromisedNar {
  readonly path: string;
  readonly narHash: Hash;
  readonly narSize: number;
}

/** Hands chunks from one loop to another, one at a time. */
class Channel implements AsyncIterable<Uint8Array> {
  #chunk: Uint8Array | undefined;
  #ended = false;
  #wakeReader: () => void = () => undefined;
  #wakeWriter: () => void = () => undefined;

  /** Resolves when the reader has come back for more. */
  async write(chunk: Uint8Array): Promise<void> {
    this.#chunk = chunk;
    this.#wakeReader();
    await new Promise<void>((resolve) => {
      this.#wakeWriter = resolve;
    });
  }

  /** No more chunks are coming; also frees a writer when the reader gave up. */
  end(): void {
    this.#ended = true;
    this.#wakeReader();
    this.#wakeWriter();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for (;;) {
      const chunk = this.#chunk;
      if (chunk !== undefined) {
        this.#chunk = undefined;
        yield chunk;
        // Until now the reader may have used the chunk.
        this.#wakeWriter();
      } else if (this.#ended) return;
      else {
        await new Promise<void>((resolve) => {
          this.#wakeReader = resolve;
        });
      }
    }
  }
}

async function buildListing(source: AsyncIterable<Uint8Array>): Promise<NarListing> {
  const builder = new ListingBuilder();
  for await (const event of parseNar(source)) builder.add(event);
  return builder.finish();
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
    const channel = this.#wantsListing ? new Channel() : undefined;
    let reading = channel !== undefined;
    const listing =
      channel === undefined
        ? undefined
        : buildListing(channel)
            .catch((error: unknown) => {
              if (!(error instanceof NixFormatError)) throw error;
              this.#listingFault = error;
              return undefined;
            })
            .finally(() => {
              reading = false;
              channel.end();
            });
    listing?.catch(() => undefined);
    let size = 0;
    try {
      for await (const chunk of source) {
        size += chunk.length;
        if (size > narSize) throw this.#mismatch(`it is longer than ${narSize} bytes`);
        hasher.update(chunk);
        if (reading && channel !== undefined && chunk.length > 0) await channel.write(chunk);
        yield chunk;
      }
      if (size !== narSize) throw this.#mismatch(`it has ${size} bytes, not ${narSize}`);
      const hash = hasher.finish();
      if (!hashesEqual(hash, this.#promised.narHash)) {
        const promised = printHash(this.#promised.narHash, "nix32");
        throw this.#mismatch(`its hash is ${printHash(hash, "nix32")}, not ${promised}`);
      }
    } finally {
      channel?.end();
    }
    this.#listing = await listing;
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
