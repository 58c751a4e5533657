/**
 * Streaming codecs: bytes in, bytes out, in constant memory and at the consumer's pace.
 *
 * In this room lives everything that knows how a compression method is run: in Node's zlib, by a child process, or in
 * TypeScript (`zstd`). It knows nothing of caches, builds or the wire.
 */

/** Limits of decompressed output: the size of a slice, and "no limit" for files of our own. */
export { outputSlice, unlimitedOutput } from "./bounded.js";
/** Whether a program is on the `PATH`. */
export { hasProgram } from "./child-codec.js";
/** Whether pieces of output may be kept by those that get them. */
export type { PieceUse } from "./codec.js";
/** Compresses a stream. */
export { type CompressOptions, compress } from "./compress.js";
/** Decompresses a stream. */
export { type DecompressOptions, decompress } from "./decompress.js";
/** What codecs throw. */
export { CompressionError, type CompressionErrorCode } from "./errors.js";
/** Streams that use their buffers again. */
export { isLending, type LendingStream, lendingStream, lentPieces, type MayLend } from "./lending.js";
/** The compression methods, their names, file extensions and levels. */
export {
  type CompressionMethod,
  compressionMethods,
  isCompressionMethod,
  type LevelRange,
  levelRange,
  methodExtension,
  parseCompressionMethod,
} from "./method.js";
/** Which program a method needs here, for checks of a configuration. */
export { missingProgram } from "./requirements.js";
/** Reads exactly one zstd frame, for the wire; loads what that needs ahead of time. */
export { type DecodeFrameOptions, decodeZstdFrame, loadDecoders, usualWindow } from "./zstd/decode.js";
/** Writes exactly one zstd frame, for the wire. */
export { type ZstdFrameOptions, zstdFrame } from "./zstd/encode.js";
/** Finds the frames of zstd data without decoding them. */
export { ZstdFraming } from "./zstd/framing.js";
