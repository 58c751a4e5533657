/** Lists a NAR while it flows past to somewhere else. */
import { ListingBuilder, type NarListing } from "../../nix/nar/listing.js";
import { parseNar } from "../../nix/nar/parser.js";
import type { ByteStream } from "../../nix/store/store.js";

/** Passes `nar` on unchanged; `onListing` gets its listing at the end. @throws NixFormatError when it is not a NAR */
export async function* tapListing(nar: ByteStream, onListing: (listing: NarListing) => void): ByteStream {
  const handoff = new Handoff();
  const listing = list(handoff.chunks()).finally(() => handoff.leave());
  // Its error is thrown below; until then nothing awaits it.
  listing.catch(() => undefined);
  try {
    for await (const chunk of nar) {
      await handoff.give(chunk);
      yield chunk;
    }
    await handoff.give(undefined);
    onListing(await listing);
  } finally {
    await handoff.give(undefined);
  }
}

async function list(chunks: ByteStream): Promise<NarListing> {
  const builder = new ListingBuilder();
  for await (const event of parseNar(chunks)) builder.add(event);
  return builder.finish();
}

/** Gives one chunk at a time to a reader, and waits until it has come back for the next. */
class Handoff {
  #offer: { readonly chunk: Uint8Array | undefined; readonly taken: () => void } | undefined;
  #wake: () => void = () => {};
  #left = false;

  /** Undefined is the end. Resolves at once when the reader has left. */
  async give(chunk: Uint8Array | undefined): Promise<void> {
    if (this.#left) return;
    await new Promise<void>((taken) => {
      this.#offer = { chunk, taken };
      this.#wake();
    });
  }

  leave(): void {
    this.#left = true;
    this.#offer?.taken();
  }

  async *chunks(): ByteStream {
    for (;;) {
      while (this.#offer === undefined) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
      const { chunk, taken } = this.#offer;
      if (chunk === undefined) return;
      yield chunk;
      this.#offer = undefined;
      taken();
    }
  }
}
