/** Decompression by method name. */

import * as zlib from "node:zlib";
import { anAmount, aSignal, aStream, checkArgument, checkMembers, optional } from "../argument-checks.js";
import { bounded } from "./bounded.js";
import { childCodec } from "./child-codec.js";
import { runCodec } from "./codec.js";
import { passThrough } from "./compress.js";
import { CompressionError } from "./errors.js";
import { aCompressionMethod, type CompressionMethod } from "./method.js";
import { transformCodec } from "./zlib-codec.js";
import { decodeZstdFrame } from "./zstd/decode.js";

/** How data is decompressed. */
export interface DecompressOptions {
  readonly method: CompressionMethod;
  /** Bytes of output after which it ends with `too-large`; `unlimitedOutput` only for data of our own. */
  readonly maxOutput: number;
  readonly signal?: AbortSignal | undefined;
}

/** `xz` sets aside as much as a file says, up to this. Its highest level needs 65 MiB. */
const xzMemory = "256MiB";

/**
 * Decompresses a stream; several members, streams or frames in a row count as one. Output comes in slices of at most
 * 256 KiB, memory is constant, and backpressure goes through to `source`.
 *
 * @throws CompressionError, `truncated` when the input ends early (an empty input does), `too-large`; whatever `source`
 *   throws; `signal.reason` when aborted
 */
export function decompress(
  source: AsyncIterable<Uint8Array>,
  options: DecompressOptions,
): AsyncGenerator<Uint8Array> {
  checkArgument("decompress", "source", source, aStream);
  checkMembers("decompress", options, {
    method: aCompressionMethod,
    maxOutput: anAmount,
    signal: optional(aSignal),
  });
  const { method, maxOutput, signal } = options;
  if (method === "zstd") return decodeZstdFrame(source, { maxOutput, live: false, signal });
  return bounded(decoded(source, method, signal), maxOutput, method);
}

function decoded(
  source: AsyncIterable<Uint8Array>,
  method: Exclude<CompressionMethod, "zstd">,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  switch (method) {
    case "none":
      return passThrough(source, signal);
    case "gzip":
      return runCodec(notEmpty(source, "gzip"), () => transformCodec("gzip", zlib.createGunzip()), signal);
    case "br": {
      const start = () => transformCodec("brotli", zlib.createBrotliDecompress());
      return runCodec(notEmpty(source, "brotli"), start, signal);
    }
    case "xz": {
      const args = ["-dcq", "-T1", `--memlimit-decompress=${xzMemory}`];
      return runCodec(notEmpty(source, "xz"), (state) => childCodec("xz", args, state), signal);
    }
    case "bzip2":
      return runCodec(notEmpty(source, "bzip2"), (state) => childCodec("bzip2", ["-dc"], state), signal);
  }
}

/** Programs differ in how they treat empty input. */
async function* notEmpty(source: AsyncIterable<Uint8Array>, what: string): AsyncGenerator<Uint8Array> {
  let empty = true;
  for await (const chunk of source) {
    if (chunk.length === 0) continue;
    empty = false;
    yield chunk;
  }
  if (empty) throw new CompressionError("truncated", `${what}: no data`);
}
