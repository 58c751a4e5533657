/** Headers of zstd frames (RFC 8878, section 3.1.1.1) and of their blocks. */
import { CompressionError } from "../errors.js";

/** First four bytes of a frame. */
export const frameMagic = 0xfd2fb528;

/** Whether these are the first four bytes of a frame to skip; the low four bits are free. */
export function isSkippable(magic: number): boolean {
  return (magic & 0xfffffff0) === 0x184d2a50;
}

/** Bytes: the most that a block can stand for (section 3.1.1.2.4). */
export const largestBlock = 128 * 1024;

/** What the header of a frame says. */
export interface FrameHeader {
  /** Bytes of output that later output may refer to. */
  readonly window: number;
  /** Bytes of output; undefined when the frame does not say. */
  readonly contentSize: number | undefined;
  /** Whether four bytes of a checksum follow the last block. */
  readonly hasChecksum: boolean;
  /** Bytes: the most that one of its blocks can hold or stand for. */
  readonly blockLimit: number;
}

/** Header of a block: three bytes. */
export interface BlockHeader {
  readonly last: boolean;
  readonly kind: "raw" | "repeated" | "compressed";
  /** Bytes in the frame after the header. */
  readonly payload: number;
  /** The size it declares: bytes of output for `repeated`, else the payload. */
  readonly size: number;
}

const singleSegment = (descriptor: number): boolean => (descriptor & 0x20) !== 0;
const dictionaryBytes = (descriptor: number): number => [0, 1, 2, 4][descriptor & 3] ?? 0;

function contentSizeBytes(descriptor: number): number {
  const flag = descriptor >> 6;
  return flag === 0 ? (singleSegment(descriptor) ? 1 : 0) : 1 << flag;
}

/** Bytes of the header after its descriptor. @throws CompressionError (`corrupt`) */
export function headerLength(descriptor: number): number {
  if ((descriptor & 0x08) !== 0) throw new CompressionError("corrupt", "zstd: reserved bit is set");
  const window = singleSegment(descriptor) ? 0 : 1;
  return window + dictionaryBytes(descriptor) + contentSizeBytes(descriptor);
}

/**
 * Reads the bytes after the descriptor.
 *
 * @throws CompressionError (`corrupt`) when the window is larger than `maxWindow` bytes, or a dictionary is needed
 */
export function readFrameHeader(descriptor: number, bytes: Buffer, maxWindow: number): FrameHeader {
  const windowBytes = singleSegment(descriptor) ? 0 : 1;
  const dictionary = dictionaryBytes(descriptor);
  if (dictionary > 0 && bytes.readUIntLE(windowBytes, dictionary) !== 0) {
    throw new CompressionError("corrupt", "zstd: the data needs a dictionary");
  }
  const contentSize = readContentSize(bytes, windowBytes + dictionary, contentSizeBytes(descriptor));
  let window = contentSize ?? 0;
  if (windowBytes === 1) {
    const byte = bytes[0] ?? 0;
    const base = 2 ** (10 + (byte >> 3));
    window = base + (base / 8) * (byte & 7);
  }
  if (window > maxWindow) {
    throw new CompressionError(
      "corrupt",
      `zstd: the data needs a window of ${window} bytes, more than the ${maxWindow} that are allowed`,
    );
  }
  return {
    window,
    contentSize,
    hasChecksum: (descriptor & 0x04) !== 0,
    blockLimit: Math.min(window, largestBlock),
  };
}

function readContentSize(bytes: Buffer, at: number, width: number): number | undefined {
  if (width === 0) return undefined;
  if (width === 8) return Number(bytes.readBigUInt64LE(at));
  return bytes.readUIntLE(at, width) + (width === 2 ? 256 : 0);
}

/** Reads the three bytes before a block. @throws CompressionError (`corrupt`) when it is larger than its frame allows */
export function readBlockHeader(bytes: Buffer, frame: FrameHeader): BlockHeader {
  const header = bytes.readUIntLE(0, 3);
  const kind = (["raw", "repeated", "compressed"] as const)[(header >> 1) & 3];
  if (kind === undefined) throw new CompressionError("corrupt", "zstd: a block of unknown type");
  const size = header >> 3;
  // Decoders that do not look at this make two megabytes of four bytes.
  if (size > frame.blockLimit)
    throw new CompressionError("corrupt", "zstd: a block is larger than its limit");
  return { last: (header & 1) === 1, kind, payload: kind === "repeated" ? 1 : size, size };
}
