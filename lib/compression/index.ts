/**
 * Streaming codecs: bytes in, bytes out, in constant memory and at the consumer's pace.
 *
 * In this room lives everything that knows how a compression method is run: in Node's zlib, by a child process, or in
 * TypeScript. It knows nothing of caches, builds or the wire.
 */
export { outputSlice, unlimitedOutput } from "./bounded.js";
export { hasProgram } from "./child-codec.js";
export { type CompressOptions, compress } from "./compress.js";
export { type DecompressOptions, decompress } from "./decompress.js";
export { CompressionError, type CompressionErrorCode } from "./errors.js";
export {
  type CompressionMethod,
  compressionMethods,
  isCompressionMethod,
  levelRange,
  methodExtension,
  parseCompressionMethod,
} from "./method.js";
export { missingProgram } from "./requirements.js";
export { type DecodeFrameOptions, decodeZstdFrame, usualWindow } from "./zstd/decode.js";
export { type ZstdFrameOptions, zstdFrame } from "./zstd/encode.js";
