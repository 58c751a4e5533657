/** Log text on the wire: one zstd frame, flushed so that the runner can show each line as it comes. */
import { decodeZstdFrame, zstdFrame } from "../../compression/index.js";
import { RpcError } from "../errors.js";
import { asCallErrors } from "./frame-error.js";

/** As the deployed peers have it. */
const level = 3;

/** What was given so far can be decoded as soon as it has arrived. Yields a frame for no text, too. */
export function encodeLog(chunks: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  return zstdFrame(chunks, { level, flushEachChunk: true });
}

/**
 * The text, as it comes. Size is not limited here: a little data can stand for very much text.
 *
 * @throws RpcError `internal` when it is no whole zstd frame; whatever `chunks` throws
 */
export async function* decodeLog(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, undefined> {
  let bytes = 0;
  async function* counted(): AsyncGenerator<Uint8Array> {
    for await (const chunk of chunks) {
      bytes += chunk.length;
      yield chunk;
    }
  }
  yield* asCallErrors(decodeZstdFrame(counted()), "the log does not decode");
  if (bytes === 0) throw new RpcError("internal", "the log stream holds no zstd frame");
}
