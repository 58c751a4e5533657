/** Codecs of Node's own zlib, and what this version of Node has of zstd. */
import { type Duplex, type Transform, finished as whenFinished } from "node:stream";
import * as zlib from "node:zlib";
import type { Codec } from "./codec.js";
import { CompressionError } from "./errors.js";

/** A zlib stream that can be asked to put out what it has. */
export interface FlushableTransform extends Transform {
  flush(callback?: () => void): void;
  flush(kind?: number, callback?: () => void): void;
}

/** zstd as Node 22.15 and newer have it. */
export interface NativeZstd {
  compress(level: number, use?: StreamUse): FlushableTransform;
  decompress(windowLog: number, use?: StreamUse): Transform;
  /** Argument of `flush` after which everything written can be decoded. */
  readonly flushKind: number;
}

/**
 * Bytes of output that are made at once. For bulk data each piece is a trip to the thread pool, and Node's own 16 KiB
 * take twice as long; a live stream has a buffer of this size until it is closed.
 */
const chunkSize = { bulk: 256 * 1024, live: 16 * 1024 } as const;
/** What a stream is used for: all of it soon, or a little now and then. */
type StreamUse = keyof typeof chunkSize;

function isStreamFactory(value: unknown): value is (options: unknown) => FlushableTransform {
  return typeof value === "function";
}

function findNativeZstd(): NativeZstd | undefined {
  // Looked up by name: older versions of Node have neither the functions nor the constants.
  const members = new Map<string, unknown>(Object.entries(zlib));
  const constants = new Map<string, unknown>(Object.entries(zlib.constants));
  const create = members.get("createZstdCompress");
  const open = members.get("createZstdDecompress");
  const number = (name: string): number => Number(constants.get(name));
  if (!isStreamFactory(create) || !isStreamFactory(open)) return undefined;
  return {
    compress: (level, use = "bulk") =>
      create({ params: { [number("ZSTD_c_compressionLevel")]: level }, chunkSize: chunkSize[use] }),
    decompress: (windowLog, use = "bulk") =>
      open({ params: { [number("ZSTD_d_windowLogMax")]: windowLog }, chunkSize: chunkSize[use] }),
    flushKind: number("ZSTD_e_flush"),
  };
}

/** Undefined on versions of Node without zstd. */
export const nativeZstd: NativeZstd | undefined = findNativeZstd();

/** Makes a codec of a transform stream. `name` is for messages. */
export function transformCodec(name: string, transform: Duplex): Codec {
  const finished = new Promise<void>((resolve, reject) => {
    whenFinished(transform, (error) => {
      if (error === null || error === undefined) resolve();
      else reject(zlibError(name, error));
    });
  });
  // It may fail before anyone listens; `finished` reports what went wrong.
  transform.on("error", () => undefined);
  return { input: transform, output: transform, finished, kill: () => void transform.destroy() };
}

function zlibError(name: string, cause: NodeJS.ErrnoException): CompressionError {
  const truncated = /unexpected end/i.test(cause.message) || cause.code === "Z_BUF_ERROR";
  const code = truncated ? "truncated" : cause.code === "ERR_STREAM_PREMATURE_CLOSE" ? "failed" : "corrupt";
  return new CompressionError(code, `${name}: ${cause.message}`, { cause });
}
