/** Drives a codec with a backpressured input side, whatever it is made of. */
import { once } from "node:events";
import type { Readable, Writable } from "node:stream";

/** One run of a codec. */
export interface Codec {
  readonly input: Writable;
  readonly output: Readable;
  /** Settles when the run is over; rejects with a `CompressionError` when the codec could not do its work. */
  readonly finished: Promise<void>;
  /** Makes the codec put out everything it was given; called after each chunk. */
  readonly flush?: () => Promise<void>;
  /**
   * A decoder puts out what it can still decode when its source fails. An encoder must not: its output would be whole
   * although the data is not.
   */
  readonly drainOnSourceError?: boolean;
  /** Ends the run at once; `finished` settles soon after. */
  kill(): void;
}

/** Never leaves this file: it ends a wait for more input. Made once, because an error with its stack is not cheap. */
const over = new Error("the run of the codec is over");

/** How far the input has come; decides what an ended run means. */
export interface InputState {
  bytes: number;
}

/**
 * Sends `source` through a codec. Whatever happens (an error on either side, an early return, an abort), the codec is
 * ended and `source` is closed.
 *
 * @throws whatever `source` throws, `signal.reason` when aborted, else what `codec.finished` rejects with
 */
export async function* runCodec(
  source: AsyncIterable<Uint8Array>,
  start: (state: InputState) => Codec,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array> {
  signal?.throwIfAborted();
  const state: InputState = { bytes: 0 };
  const codec = start(state);
  codec.finished.catch(() => undefined);
  const stop = new AbortController();
  const onAbort = (): void => {
    stop.abort(over);
    codec.kill();
  };
  signal?.addEventListener("abort", onAbort, { once: true });
  let sourceFailed = false;
  let sourceError: unknown;
  const feeding = feed(source, codec, state, stop.signal).catch((error: unknown) => {
    if (stop.signal.aborted) return;
    sourceFailed = true;
    sourceError = error;
    if (codec.drainOnSourceError === true && !codec.input.destroyed) codec.input.end();
    else codec.kill();
  });
  // A stream may fail before anyone listens; `finished` reports what went wrong.
  codec.input.on("error", () => undefined);
  codec.output.on("error", () => undefined);
  let complete = false;
  try {
    try {
      for await (const chunk of codec.output) yield chunk as Uint8Array;
    } catch (error) {
      await rejectionOf(codec.finished);
      if (sourceFailed) throw sourceError;
      signal?.throwIfAborted();
      await codec.finished;
      throw error;
    }
    if (sourceFailed) throw sourceError;
    signal?.throwIfAborted();
    await codec.finished;
    // The codec may have all it wants before the source is at its end.
    stop.abort(over);
    complete = true;
  } finally {
    signal?.removeEventListener("abort", onAbort);
    stop.abort(over);
    if (!complete) codec.kill();
    await rejectionOf(codec.finished);
    // Not awaited: a source that waits for data of its own (a live log) need not come back soon.
    void feeding;
  }
}

async function rejectionOf(promise: Promise<void>): Promise<void> {
  await promise.catch(() => undefined);
}

async function feed(
  source: AsyncIterable<Uint8Array>,
  codec: Codec,
  state: InputState,
  stop: AbortSignal,
): Promise<void> {
  const { input } = codec;
  for await (const chunk of source) {
    // Leaving the loop tells the source to stop.
    if (stop.aborted || input.destroyed) return;
    if (chunk.length === 0) continue;
    state.bytes += chunk.length;
    const full = !input.write(chunk);
    if (codec.flush !== undefined) await codec.flush();
    else if (full && !(await drained(input, stop))) return;
  }
  if (!input.destroyed) input.end();
}

/** False when the input was closed or the run stopped meanwhile. */
async function drained(input: Writable, stop: AbortSignal): Promise<boolean> {
  const done = new AbortController();
  const both = AbortSignal.any([stop, done.signal]);
  try {
    return await Promise.race([
      once(input, "drain", { signal: both }).then(
        () => true,
        () => false,
      ),
      once(input, "close", { signal: both }).then(
        () => false,
        () => false,
      ),
    ]);
  } finally {
    done.abort();
  }
}
