/** Bytes on their way to a decoder, put together into pieces that are worth a write. */

/** Bytes of a piece. */
const pieceSize = 256 * 1024;

/**
 * The same bytes in pieces of about 256 KiB, the last one shorter. What comes first is passed on at once: most streams
 * are short, and a consumer sees that one has begun. The pieces are the consumer's.
 */
export async function* gathered(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, undefined> {
  let piece: Uint8Array = new Uint8Array(0);
  let filled = 0;
  let isFirst = true;
  for await (const chunk of source) {
    if (isFirst || (filled === 0 && chunk.length >= pieceSize / 2)) {
      isFirst = false;
      yield chunk;
      continue;
    }
    for (let at = 0; at < chunk.length; ) {
      if (filled === 0) piece = Buffer.allocUnsafeSlow(pieceSize);
      const part = chunk.subarray(at, at + piece.length - filled);
      piece.set(part, filled);
      filled += part.length;
      at += part.length;
      if (filled < piece.length) continue;
      yield piece;
      filled = 0;
    }
  }
  if (filled > 0) yield piece.subarray(0, filled);
  return undefined;
}
