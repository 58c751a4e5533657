/**
 * zstd for data that is not worth a program of its own, in this process: stored as it is, or made by Node (22.15 and newer)
 * or by the optional package. The `zstd` program stands in where there is neither.
 */
import { createRequire } from "node:module";
import { bySize } from "../by-size.js";
import { childCodec, hasProgram } from "../child-codec.js";
import { runCodec } from "../codec.js";
import { CompressionError } from "../errors.js";
import { nativeZstd, transformCodec } from "../zlib-codec.js";

/**
 * Bytes up to which data is stored: smaller, it would save nothing in a cache or on the wire, and an encoder sets some
 * megabytes aside for each frame. Most logs are so small, and so are outputs that are a link or a line.
 */
const storedUpTo = 1024;

/** Input bytes of one frame; readers of NARs take many frames in a row as one stream. */
const frameInput = 1 << 20;

/** One frame for at most a buffer full of data. */
export function smallZstd(
  source: AsyncIterable<Uint8Array>,
  level: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  return bySize(
    source,
    { small: (all) => storedFrame(all, signal), large: (all) => encoded(all, level, signal) },
    signal,
    storedUpTo,
  );
}

function encoded(
  source: AsyncIterable<Uint8Array>,
  level: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  const native = nativeZstd;
  if (native !== undefined)
    return runCodec(source, () => transformCodec("zstd", native.compress(level)), signal);
  if (hasZstdPackage() || !hasProgram("zstd")) return packageZstdFrames(source, level, signal);
  return runCodec(source, (state) => childCodec("zstd", zstdArguments(level), state), signal);
}

/** Arguments of the `zstd` program which make it write one frame. */
export function zstdArguments(level: number, threads = 1): string[] {
  const speed =
    level < 1 ? [`--fast=${Math.max(1, -level)}`] : level > 19 ? ["--ultra", `-${level}`] : [`-${level}`];
  return ["-zcq", ...speed, ...(threads === 1 ? [] : [`-T${threads}`])];
}

/** Small, because a decoder sets memory of this size aside, and most logs are short. */
const blockLimit = 16_384;
/** Magic number; no flags; a window of 16 KiB, the least that allows blocks of that size. */
const frameHeader = Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x20);
const lastEmptyBlock = Uint8Array.of(0x01, 0x00, 0x00);

/** A frame whose blocks hold the data as it is (RFC 8878, 3.1.1.2.2). */
export async function* storedFrame(
  source: AsyncIterable<Uint8Array>,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array> {
  signal?.throwIfAborted();
  yield frameHeader;
  for await (const chunk of source) {
    signal?.throwIfAborted();
    for (let offset = 0; offset < chunk.length; offset += blockLimit) {
      const block = chunk.subarray(offset, offset + blockLimit);
      const piece = Buffer.allocUnsafe(3 + block.length);
      piece.writeUIntLE(block.length << 3, 0, 3);
      piece.set(block, 3);
      yield piece;
    }
  }
  yield lastEmptyBlock;
}

type Package = typeof import("@toondepauw/node-zstd");

/** Unlike `import`, `require` tries again what failed once, perhaps for lack of file descriptors. */
const require = createRequire(import.meta.url);
const load = (): Package => require("@toondepauw/node-zstd") as Package;

/** Whether the optional package is installed and works on this platform. */
export function hasZstdPackage(): boolean {
  try {
    load();
    return true;
  } catch {
    return false;
  }
}

function loadEncoder(level: number): { encode(data: Buffer): Promise<Buffer> } {
  try {
    const { Encoder } = load();
    return new Encoder(level);
  } catch (cause) {
    throw new CompressionError(
      "missing-program",
      "zstd needs Node 22.15 or newer, the program 'zstd', or the package @toondepauw/node-zstd: install one of them",
      { cause },
    );
  }
}

/** A sequence of frames, one for each MiB of input. @throws CompressionError when the package is not there */
async function* packageZstdFrames(
  source: AsyncIterable<Uint8Array>,
  level: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  signal?.throwIfAborted();
  const encoder = loadEncoder(level);
  let parts: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of source) {
    signal?.throwIfAborted();
    // It may be lent.
    parts.push(Buffer.from(chunk));
    size += chunk.length;
    if (size < frameInput) continue;
    yield await encoder.encode(Buffer.concat(parts));
    parts = [];
    size = 0;
  }
  // Also for no input at all: nothing is not a valid zstd file.
  yield await encoder.encode(Buffer.concat(parts));
}
