/** Lists a NAR while it flows past to somewhere else. */
import { ListingBuilder, type NarListing } from "../../nix/nar/listing.js";
import { NarParser } from "../../nix/nar/parser.js";
import type { ByteStream } from "../../nix/store/store.js";

/** Passes `nar` on unchanged; `onListing` gets its listing at the end. @throws NixFormatError when it is not a NAR */
export async function* tapListing(nar: ByteStream, onListing: (listing: NarListing) => void): ByteStream {
  const parser = new NarParser();
  const builder = new ListingBuilder();
  for await (const chunk of nar) {
    for (const event of parser.push(chunk)) builder.add(event);
    yield chunk;
  }
  parser.finish();
  onListing(builder.finish());
}
