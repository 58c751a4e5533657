/**
 * The bounds of every decoder: a little input can stand for very much output, so output is counted, comes in slices,
 * and ends at a limit that the caller has to name.
 */
import { CompressionError } from "./errors.js";
import { Turns } from "./turns.js";

/** For data that this program wrote itself and that is not collected in memory. */
export const unlimitedOutput: number = Number.POSITIVE_INFINITY;

/** Bytes: the most that is yielded at once, and in one turn of the event loop. */
export const outputSlice = 256 * 1024;

/**
 * Passes decoded data on in slices, up to `maxOutput` bytes. `what` names the data in the error.
 *
 * @throws CompressionError `too-large` after `maxOutput` bytes when there are more; RangeError when `maxOutput` is no
 *   size; whatever `decoded` throws
 */
export async function* bounded(
  decoded: AsyncIterable<Uint8Array>,
  maxOutput: number,
  what: string,
): AsyncGenerator<Uint8Array> {
  if (!(maxOutput >= 0)) throw new RangeError(`not a number of bytes: ${maxOutput}`);
  const turns = new Turns();
  let left = maxOutput;
  let inTurn = 0;
  for await (const chunk of decoded) {
    for (let offset = 0; offset < chunk.length; ) {
      const slice = chunk.subarray(offset, offset + Math.min(outputSlice, left));
      if (slice.length === 0) throw tooLarge(what, maxOutput);
      if (inTurn + slice.length > outputSlice) {
        await turns.next();
        inTurn = 0;
      }
      offset += slice.length;
      left -= slice.length;
      inTurn += slice.length;
      yield slice;
    }
  }
}

function tooLarge(what: string, maxOutput: number): CompressionError {
  return new CompressionError("too-large", `${what}: the data expands to more than ${maxOutput} bytes`);
}
