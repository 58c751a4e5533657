/** Log text on the wire: one zstd frame, flushed so that the runner can show each line as it comes. */
import { anAmount, aStream, checkArgument, checkMembers } from "../../argument-checks.js";
import { CompressionError, decodeZstdFrame, usualWindow, zstdFrame } from "../../compression/index.js";
import { RpcError } from "../errors.js";
import { asCallErrors } from "./frame-error.js";

/** As the deployed peers have it. */
const level = 3;

/** What was given so far can be decoded as soon as it has arrived. Yields a frame for no text, too. */
export function encodeLog(chunks: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  checkArgument("encodeLog", "chunks", chunks, aStream);
  return zstdFrame(chunks, { level, flushEachChunk: true });
}

/**
 * The text, as it comes, up to `maxBytes`. What follows is taken from the stream and dropped without being decoded: a
 * little data can stand for very much text, and the sender is not kept waiting.
 *
 * @throws RpcError `internal` when it is not a whole zstd frame; whatever `chunks` throws
 */
export async function* decodeLog(
  chunks: AsyncIterable<Uint8Array>,
  options: { readonly maxBytes: number },
): AsyncGenerator<Uint8Array, undefined> {
  checkArgument("decodeLog", "chunks", chunks, aStream);
  checkMembers("decodeLog", options, { maxBytes: anAmount });
  const iterator = chunks[Symbol.asyncIterator]();
  let bytes = 0;
  // Without `return`: the decoder may stop early, and the rest is still to be taken.
  async function* counted(): AsyncGenerator<Uint8Array> {
    for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) {
      bytes += next.value.length;
      yield next.value;
    }
  }
  const decoded = decodeZstdFrame(counted(), { maxOutput: options.maxBytes, maxWindow: usualWindow });
  let ended = false;
  try {
    try {
      yield* asCallErrors(decoded, "the log does not decode");
    } catch (error) {
      if (!isTooLarge(error)) throw error;
      while ((await iterator.next()).done !== true);
    }
    ended = true;
  } finally {
    // Not awaited: it may be waiting for data that need not come.
    if (!ended) void iterator.return?.()?.catch(() => undefined);
  }
  if (bytes === 0) throw new RpcError("internal", "the log stream holds no zstd frame");
}

function isTooLarge(error: unknown): boolean {
  return (
    error instanceof RpcError && error.cause instanceof CompressionError && error.cause.code === "too-large"
  );
}
