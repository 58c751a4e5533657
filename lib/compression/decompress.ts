/** Decompression by method name. */
import * as zlib from "node:zlib";
import { childCodec } from "./child-codec.js";
import { runCodec } from "./codec.js";
import { passThrough } from "./compress.js";
import { CompressionError } from "./errors.js";
import type { CompressionMethod } from "./method.js";
import { transformCodec } from "./zlib-codec.js";
import { decodeZstdFrame } from "./zstd-decode.js";

export interface DecompressOptions {
  readonly method: CompressionMethod;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Decompresses a stream; several members, streams or frames in a row count as one. Memory is constant and
 * back-pressure goes through to `source`.
 *
 * @throws CompressionError, `truncated` when the input ends early (an empty input does); whatever `source` throws;
 *   `signal.reason` when aborted
 */
export function decompress(
  source: AsyncIterable<Uint8Array>,
  options: DecompressOptions,
): AsyncGenerator<Uint8Array> {
  const { method, signal } = options;
  switch (method) {
    case "none":
      return passThrough(source, signal);
    case "gzip":
      return runCodec(notEmpty(source, "gzip"), () => transformCodec("gzip", zlib.createGunzip()), signal);
    case "br": {
      const start = () => transformCodec("brotli", zlib.createBrotliDecompress());
      return runCodec(notEmpty(source, "brotli"), start, signal);
    }
    case "xz":
      return runCodec(notEmpty(source, "xz"), (state) => childCodec("xz", ["-dcq"], state), signal);
    case "bzip2":
      return runCodec(notEmpty(source, "bzip2"), (state) => childCodec("bzip2", ["-dc"], state), signal);
    case "zstd":
      break;
  }
  return decodeZstdFrame(source, { live: false, signal });
}

/** Programs differ in what they say of no input at all. */
async function* notEmpty(source: AsyncIterable<Uint8Array>, what: string): AsyncGenerator<Uint8Array> {
  let empty = true;
  for await (const chunk of source) {
    if (chunk.length === 0) continue;
    empty = false;
    yield chunk;
  }
  if (empty) throw new CompressionError("truncated", `${what}: there is no data`);
}
