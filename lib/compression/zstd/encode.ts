/** One zstd frame of a stream, for the wire. */
import { aNumber, aSignal, aStream, checkArgument, checkMembers, optional } from "../../argument-checks.js";
import { bySize } from "../by-size.js";
import { childCodec, hasProgram } from "../child-codec.js";
import { type Codec, type PieceUse, runCodec } from "../codec.js";
import { clampLevel } from "../method.js";
import { nativeZstd, transformCodec } from "../zlib-codec.js";
import { smallZstd, storedFrame, zstdArguments } from "./in-process.js";

/** How a frame is made. `level`: default as for `compress`. */
export interface ZstdFrameOptions {
  readonly level?: number | undefined;
  /** Everything given so far can be decoded after each chunk; for live logs. Default false. */
  readonly flushEachChunk?: boolean | undefined;
  /** `lent`: pieces may be overwritten once the next one is asked for, which saves a copy. Default `kept`. */
  readonly pieces?: PieceUse | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Makes exactly one zstd frame, which some peers insist on. Before Node 22.15 no encoder can flush:
 * a flushed frame is then made of stored blocks, which every decoder reads but which are not smaller than the data.
 *
 * @throws whatever `source` throws; `signal.reason` when aborted; CompressionError
 */
export function zstdFrame(
  source: AsyncIterable<Uint8Array>,
  options: ZstdFrameOptions = {},
): AsyncGenerator<Uint8Array> {
  checkArgument("zstdFrame", "source", source, aStream);
  checkMembers("zstdFrame", options, { level: optional(aNumber), signal: optional(aSignal) });
  const { flushEachChunk = false, pieces, signal } = options;
  const level = clampLevel("zstd", options.level);
  if (!flushEachChunk && hasProgram("zstd")) {
    const large = (all: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> =>
      runCodec(all, (state) => childCodec("zstd", zstdArguments(level), state), signal, pieces);
    return bySize(source, { small: (all) => smallZstd(all, level, signal), large }, signal);
  }
  const native = nativeZstd;
  if (native === undefined) return storedFrame(source, signal);
  const start = (): Codec => {
    const transform = native.compress(level, flushEachChunk ? "live" : "bulk");
    const codec = transformCodec("zstd", transform);
    if (!flushEachChunk) return codec;
    const flush = (): Promise<void> =>
      new Promise((resolve) => {
        transform.once("close", resolve);
        transform.flush(native.flushKind, () => {
          transform.off("close", resolve);
          resolve();
        });
      });
    return { ...codec, flush };
  };
  return runCodec(source, start, signal);
}
