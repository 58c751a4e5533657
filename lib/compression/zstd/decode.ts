/**
 * Decoding of zstd, by whatever this machine has: Node itself, the `zstd` program, or TypeScript. Bulk data go through
 * the program on every version of Node: it has a processor of its own, and its output comes in larger pieces.
 */
import { anAmount, aSignal, aStream, checkArgument, checkMembers, optional } from "../../argument-checks.js";
import { bounded } from "../bounded.js";
import { bySize } from "../by-size.js";
import { childCodec, hasProgram } from "../child-codec.js";
import { type Codec, type PieceUse, runCodec } from "../codec.js";
import { type NativeZstd, nativeZstd, transformCodec } from "../zlib-codec.js";
import { ZstdFraming } from "./framing.js";

/** How zstd data is decoded. */
export interface DecodeFrameOptions {
  /** Bytes of output after which decoding ends with `too-large`. */
  readonly maxOutput: number;
  /**
   * Bytes: frames that need a larger window are refused. A decoder keeps that much of its output in memory. Default
   * 128 MiB, as the `zstd` program has it; `usualWindow` is enough for every level up to 19.
   */
  readonly maxWindow?: number | undefined;
  /**
   * Yield what a block holds as soon as the block has arrived (default). False allows to use a program that is faster
   * but waits until its buffers are full: for NARs.
   */
  readonly live?: boolean | undefined;
  /** `lent`: pieces may be overwritten once the next one is asked for, which saves a copy. Default `kept`. */
  readonly pieces?: PieceUse | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Bytes: the window that RFC 8878 asks every decoder to have. */
export const usualWindow: number = 8 * 1024 * 1024;
const largestWindow = 2 ** 27;

/**
 * Loads what this version of Node needs to decode zstd. A program that runs for long does so at its start: what Node 20
 * failed to import once, perhaps for lack of file descriptors, it never imports again.
 */
export async function loadDecoders(): Promise<void> {
  if (nativeZstd === undefined) await import("./script-decoder.js");
}

/** Those who need decoders that do not leave this thread. */
let inThisThread = 0;

/**
 * Until the answer is disposed of, decoders that start do their work in this thread, without the thread pool and without
 * programs: for simulations, whose time does not wait for either. It is slower.
 */
export async function decodeInThisThread(): Promise<Disposable> {
  // Loaded now, so that no decoder has to wait for it.
  await import("./script-decoder.js");
  inThisThread++;
  return { [Symbol.dispose]: () => void inThisThread-- };
}

/**
 * Decodes one zstd frame, or several in a row, in slices of at most 256 KiB. Decoders do not all check the optional
 * checksum of a frame.
 *
 * @throws CompressionError (`truncated`, `corrupt`, `too-large`); whatever `source` throws; `signal.reason` when aborted
 */
export function decodeZstdFrame(
  source: AsyncIterable<Uint8Array>,
  options: DecodeFrameOptions,
): AsyncGenerator<Uint8Array> {
  checkArgument("decodeZstdFrame", "source", source, aStream);
  checkMembers("decodeZstdFrame", options, { maxOutput: anAmount, signal: optional(aSignal) });
  return bounded(decodeUnbounded(source, options), options.maxOutput, "zstd");
}

function decodeUnbounded(
  source: AsyncIterable<Uint8Array>,
  options: DecodeFrameOptions,
): AsyncGenerator<Uint8Array> {
  const { live = true, signal, maxWindow = largestWindow, pieces = "kept" } = options;
  // Loaded by versions of Node with zstd for `decodeInThisThread` only.
  async function* script(all: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    const { decodeInScript } = await import("./script-decoder.js");
    yield* decodeInScript(abortable(all, signal), maxWindow);
  }
  if (inThisThread > 0) return script(source);
  const native = nativeZstd;
  const here = (all: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> =>
    native === undefined ? script(all) : decodeNatively(all, native, { signal, maxWindow, live });
  if (live || !hasProgram("zstd")) return here(source);
  const program = (all: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> => {
    const args = ["-dcq", `--memory=${memoryFor(maxWindow)}`];
    return runCodec(
      framed(all, new ZstdFraming(maxWindow)),
      (state) => childCodec("zstd", args, state),
      signal,
      pieces,
    );
  };
  async function* small(all: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    const { chunks, needsLargeWindow } = await gather(all, maxWindow);
    yield* needsLargeWindow ? program(chunks) : here(chunks);
  }
  return bySize(source, { small, large: program }, signal);
}

/** The program compares the window with this, and it takes nothing below 1 MiB. */
function memoryFor(maxWindow: number): string {
  return `${Math.max(1, Math.ceil(maxWindow / 2 ** 20))}MiB`;
}

/** Small data that makes a decoder keep very much in memory is left to a process of its own. */
async function gather(
  all: AsyncIterable<Uint8Array>,
  maxWindow: number,
): Promise<{ readonly chunks: AsyncIterable<Uint8Array>; readonly needsLargeWindow: boolean }> {
  const chunks: Uint8Array[] = [];
  const framing = new ZstdFraming(maxWindow);
  for await (const chunk of framed(all, framing)) chunks.push(chunk);
  async function* again(): AsyncGenerator<Uint8Array> {
    yield* chunks;
  }
  return { chunks: again(), needsLargeWindow: framing.largestWindow > usualWindow };
}

/** Passes data on and complains when it ends in the middle of a frame. */
async function* framed(source: AsyncIterable<Uint8Array>, framing: ZstdFraming): AsyncGenerator<Uint8Array> {
  for await (const chunk of source) {
    for (let offset = 0; offset < chunk.length; ) offset += framing.push(chunk.subarray(offset));
    yield chunk;
  }
  framing.end();
}

/** Node's decoder ends silently after the first frame, so each frame gets a decoder of its own. */
async function* decodeNatively(
  source: AsyncIterable<Uint8Array>,
  native: NativeZstd,
  options: { readonly signal: AbortSignal | undefined; readonly maxWindow: number; readonly live: boolean },
): AsyncGenerator<Uint8Array> {
  const { signal, maxWindow, live } = options;
  const framing = new ZstdFraming(maxWindow);
  const chunks = source[Symbol.asyncIterator]();
  let rest: Uint8Array = new Uint8Array(0);
  let ended = false;
  const more = async (): Promise<boolean> => {
    while (rest.length === 0 && !ended) {
      const next = await chunks.next();
      if (next.done === true) ended = true;
      else rest = next.value;
    }
    return rest.length > 0;
  };
  async function* frame(): AsyncGenerator<Uint8Array> {
    const before = framing.frames;
    while (framing.frames === before && (await more())) {
      const size = framing.push(rest);
      const piece = rest.subarray(0, size);
      rest = rest.subarray(size);
      yield piece;
    }
    if (framing.frames === before) framing.end();
  }
  try {
    while (await more()) {
      const start = (): Codec => ({
        ...transformCodec("zstd", native.decompress(Math.ceil(Math.log2(maxWindow)), live ? "live" : "bulk")),
        drainOnSourceError: true,
      });
      yield* runCodec(frame(), start, signal);
    }
    framing.end();
  } finally {
    // Not awaited: it may be waiting for data that need not come soon.
    if (!ended) void chunks.return?.()?.catch(() => undefined);
  }
}

/** Ends the wait for the next chunk when `signal` aborts. */
async function* abortable(
  source: AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  if (signal === undefined) {
    yield* source;
    return;
  }
  signal.throwIfAborted();
  const chunks = source[Symbol.asyncIterator]();
  let onAbort = (): void => undefined;
  const aborted = new Promise<never>((_resolve, reject) => {
    onAbort = () => reject(signal.reason);
  });
  aborted.catch(() => undefined);
  signal.addEventListener("abort", onAbort, { once: true });
  let ended = false;
  try {
    for (;;) {
      const next = await Promise.race([chunks.next(), aborted]);
      if (next.done === true) {
        ended = true;
        return;
      }
      yield next.value;
    }
  } finally {
    signal.removeEventListener("abort", onAbort);
    if (!ended) void chunks.return?.()?.catch(() => undefined);
  }
}
