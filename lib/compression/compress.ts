/** Compression by method name. */

import * as zlib from "node:zlib";
import { anAmount, aSignal, aStream, checkArgument, checkMembers, optional } from "../argument-checks.js";
import { bySize } from "./by-size.js";
import { childCodec, hasProgram } from "./child-codec.js";
import { type Codec, type InputState, runCodec } from "./codec.js";
import { aCompressionMethod, type CompressionMethod, clampLevel } from "./method.js";
import { transformCodec } from "./zlib-codec.js";
import { smallZstd, zstdArguments } from "./zstd/in-process.js";

/** How a stream is compressed. */
export interface CompressOptions {
  readonly method: CompressionMethod;
  /** Clamped to what the method has; unset is the method's usual level. */
  readonly level?: number | undefined;
  /** Use several threads (xz, and zstd where its program is there). Default false. */
  readonly parallel?: boolean | undefined;
  /** Bytes that `source` will give, where that is known; a guess. What is small is not given to a program. */
  readonly sizeHint?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Bytes up to which zstd is done in this process where that is possible: to start a program costs as much as to compress
 * some megabytes.
 */
const inProcess = 16 << 20;

/** Threads of a parallel compression. */
const threads = 4;

/**
 * Compresses a stream. Memory is constant, `source` is read no faster than the result is taken, and no process stays
 * behind when the consumer stops early or `signal` aborts. Except by `none`, which passes them on, a piece of `source` is
 * not used any more once the next one is asked for.
 *
 * @throws CompressionError; whatever `source` throws; `signal.reason` when aborted
 */
export function compress(
  source: AsyncIterable<Uint8Array>,
  options: CompressOptions,
): AsyncGenerator<Uint8Array> {
  checkArgument("compress", "source", source, aStream);
  checkMembers("compress", options, {
    method: aCompressionMethod,
    sizeHint: optional(anAmount),
    signal: optional(aSignal),
  });
  const { method, signal } = options;
  const level = clampLevel(method, options.level);
  const parallel = options.parallel === true;
  switch (method) {
    case "none":
      return passThrough(source, signal);
    case "gzip":
      return runCodec(source, () => transformCodec("gzip", zlib.createGzip({ level })), signal);
    case "br":
      return runCodec(source, () => transformCodec("brotli", brotli(level)), signal);
    case "xz":
      return runCodec(source, child("xz", ["-zcq", `-${level}`, `-T${parallel ? threads : 1}`]), signal);
    case "bzip2":
      return runCodec(source, child("bzip2", ["-zcq", `-${level}`]), signal);
    case "zstd":
      return compressZstd(source, { level, parallel, sizeHint: options.sizeHint, signal });
  }
}

function brotli(level: number): zlib.BrotliCompress {
  return zlib.createBrotliCompress({ params: { [zlib.constants.BROTLI_PARAM_QUALITY]: level } });
}

function child(program: string, args: readonly string[]): (state: InputState) => Promise<Codec> {
  return (state) => childCodec(program, args, state);
}

function compressZstd(
  source: AsyncIterable<Uint8Array>,
  options: Omit<CompressOptions, "method"> & { readonly level: number },
): AsyncGenerator<Uint8Array> {
  const { level, parallel = false, sizeHint = Number.POSITIVE_INFINITY, signal } = options;
  if (sizeHint <= inProcess || !hasProgram("zstd")) return smallZstd(source, level, signal);
  return bySize(
    source,
    {
      small: (all) => smallZstd(all, level, signal),
      large: (all) => runCodec(all, child("zstd", zstdArguments(level, parallel ? threads : 1)), signal),
    },
    signal,
  );
}

/** The stream itself, ending when `signal` aborts. */
export async function* passThrough(
  source: AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  signal?.throwIfAborted();
  for await (const chunk of source) {
    signal?.throwIfAborted();
    if (chunk.length > 0) yield chunk;
  }
}
