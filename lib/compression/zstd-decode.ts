/** Decoding of zstd, as the data comes. */
import { bySize } from "./by-size.js";
import { childCodec, hasProgram } from "./child-codec.js";
import { type Codec, runCodec } from "./codec.js";
import { CompressionError } from "./errors.js";
import { type NativeZstd, nativeZstd, transformCodec } from "./zlib-codec.js";
import { ZstdFraming } from "./zstd-framing.js";

export interface DecodeFrameOptions {
  /**
   * Yield what a block holds as soon as the block has arrived (default). False allows to use a program that is faster
   * but waits until its buffers are full: for NARs.
   */
  readonly live?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** As the `zstd` program has it. Frames that want a larger window are refused. */
const windowLog = 27;

/**
 * Decodes one zstd frame, or several in a row. Decoders do not all check the optional checksum of a frame.
 *
 * @throws CompressionError (`truncated`, `corrupt`); whatever `source` throws; `signal.reason` when aborted
 */
export function decodeZstdFrame(
  source: AsyncIterable<Uint8Array>,
  options: DecodeFrameOptions = {},
): AsyncGenerator<Uint8Array> {
  const { live = true, signal } = options;
  if (nativeZstd !== undefined) return decodeNatively(source, nativeZstd, signal);
  if (!live && hasProgram("zstd")) {
    const large = (all: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> =>
      runCodec(framed(all), (state) => childCodec("zstd", ["-dcq"], state), signal);
    return bySize(source, { small: (all) => decodeInScript(all, signal), large }, signal);
  }
  return decodeInScript(source, signal);
}

/** Passes data on and complains when it ends in the middle of a frame. */
async function* framed(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const framing = new ZstdFraming(2 ** windowLog);
  for await (const chunk of source) {
    for (let offset = 0; offset < chunk.length; ) offset += framing.push(chunk.subarray(offset));
    yield chunk;
  }
  framing.end();
}

/** Node's decoder stops without a word after the first frame, so each frame gets one of its own. */
async function* decodeNatively(
  source: AsyncIterable<Uint8Array>,
  native: NativeZstd,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  const framing = new ZstdFraming(2 ** windowLog);
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
        ...transformCodec("zstd", native.decompress(windowLog)),
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

async function* decodeInScript(
  source: AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  signal?.throwIfAborted();
  const { Decompress } = await import("fzstd");
  let ready: Uint8Array[] = [];
  const decoder = new Decompress((data) => void ready.push(data));
  const take = (chunk: Uint8Array, final: boolean): Uint8Array[] => {
    ready = [];
    try {
      decoder.push(chunk, final);
    } catch (cause) {
      throw new CompressionError("corrupt", `zstd: ${cause instanceof Error ? cause.message : "bad data"}`, {
        cause,
      });
    }
    return ready;
  };
  for await (const chunk of abortable(framed(source), signal)) {
    // A small piece of input can stand for very much output, so the decoder gets no more than this at once.
    for (let offset = 0; offset < chunk.length; offset += inputStep) {
      for (const data of take(chunk.subarray(offset, offset + inputStep), false)) {
        if (data.length > 0) yield data;
      }
    }
  }
  for (const data of take(new Uint8Array(0), true)) if (data.length > 0) yield data;
}

const inputStep = 16_384;

/** Ends the wait for the next chunk when `signal` aborts. */
async function* abortable(
  source: AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  if (signal === undefined) {
    yield* source;
    return;
  }
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
