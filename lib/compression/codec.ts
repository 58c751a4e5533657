/** Drives a codec with a backpressured input side, whatever it is made of. */
import type { Writable } from "node:stream";

/** One run of a codec. */
export interface Codec {
  readonly input: Writable;
  readonly output: AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
  /** A piece of output is overwritten once the next one is asked for. */
  readonly lends?: boolean;
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

/** How far the input has come; decides what an ended run means. */
export interface InputState {
  bytes: number;
}

/** Whether pieces are the consumer's for good, or only until it asks for the next one. */
export type PieceUse = "kept" | "lent";

/** The end of a run, for the side that feeds it. */
class Run {
  #over = false;
  #wake = (): void => undefined;

  get over(): boolean {
    return this.#over;
  }

  end(): void {
    this.#over = true;
    this.#wake();
  }

  /** For the callback of a write, and for the end of the input. */
  readonly wake = (): void => this.#wake();

  /**
   * Resolves when all that was written has been taken: it may be overwritten then. False when the input was closed or the
   * run ended meanwhile. No listeners are added: a signal and an error for each write cost more than compressing.
   */
  async taken(input: Writable): Promise<boolean> {
    while (input.writableLength > 0 && !input.destroyed && !this.#over) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return !input.destroyed && !this.#over;
  }
}

/**
 * Sends `source` through a codec. Whatever happens (an error on either side, an early return, an abort), the codec is
 * ended and `source` is closed.
 *
 * @throws whatever `source` throws, `signal.reason` when aborted, else what `codec.finished` rejects with
 */
export async function* runCodec(
  source: AsyncIterable<Uint8Array>,
  start: (state: InputState) => Codec | Promise<Codec>,
  signal?: AbortSignal,
  use: PieceUse = "kept",
): AsyncGenerator<Uint8Array> {
  signal?.throwIfAborted();
  const state: InputState = { bytes: 0 };
  const codec = await start(state);
  codec.finished.catch(() => undefined);
  const run = new Run();
  codec.input.on("close", run.wake);
  const onAbort = (): void => {
    run.end();
    codec.kill();
  };
  if (signal?.aborted === true) onAbort();
  else signal?.addEventListener("abort", onAbort, { once: true });
  let sourceFailed = false;
  let sourceError: unknown;
  const feeding = feed(source, codec, state, run).catch((error: unknown) => {
    if (run.over) return;
    sourceFailed = true;
    sourceError = error;
    if (codec.drainOnSourceError === true && !codec.input.destroyed) codec.input.end();
    else codec.kill();
  });
  // A stream may fail before anyone listens; `finished` reports what went wrong.
  codec.input.on("error", () => undefined);
  let complete = false;
  try {
    try {
      const copied = codec.lends === true && use === "kept";
      for await (const chunk of codec.output) yield copied ? Buffer.from(chunk) : chunk;
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
    run.end();
    complete = true;
  } finally {
    signal?.removeEventListener("abort", onAbort);
    run.end();
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
  run: Run,
): Promise<void> {
  const { input } = codec;
  for await (const chunk of source) {
    // Leaving the loop tells the source to stop.
    if (run.over || input.destroyed) return;
    if (chunk.length === 0) continue;
    state.bytes += chunk.length;
    input.write(chunk, run.wake);
    if (codec.flush !== undefined) await codec.flush();
    else if (!(await run.taken(input))) return;
  }
  if (!input.destroyed) input.end();
}
