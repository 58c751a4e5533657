/** Streams whose pieces are lent: made for one reader at a time, they can use few buffers again and again. */
import { aFunction, aStream, checkArgument } from "../argument-checks.js";

/** A stream that is iterated once, in one of two ways. As an iterable, its pieces are the reader's. */
export interface LendingStream extends AsyncIterable<Uint8Array> {
  /** The same bytes without a copy: a piece is overwritten once the next one is asked for. */
  lent(): AsyncIterable<Uint8Array>;
}

/** A stream of bytes that may be a `LendingStream`. */
export type MayLend = AsyncIterable<Uint8Array> & Partial<Pick<LendingStream, "lent">>;

/** For readers that are done with a piece when they ask for the next: what `stream` lends, else the stream itself. */
export function lentPieces(stream: MayLend): AsyncIterable<Uint8Array> {
  checkArgument("lentPieces", "stream", stream, aStream);
  return stream.lent?.() ?? stream;
}

/** Whether `lentPieces` gives pieces that are overwritten. */
export function isLending(stream: MayLend): stream is LendingStream {
  checkArgument("isLending", "stream", stream, aStream);
  return stream.lent !== undefined;
}

/** A stream of lent pieces, which copies them for those who keep them. */
export function lendingStream(lent: () => AsyncIterable<Uint8Array>): LendingStream {
  checkArgument("lendingStream", "lent", lent, aFunction);
  return {
    lent,
    async *[Symbol.asyncIterator]() {
      for await (const piece of lent()) yield Buffer.from(piece);
    },
  };
}
