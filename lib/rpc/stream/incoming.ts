/**
 * The bytes of an HTTP/2 stream as they arrive. As a stream's own iterator does, but a stream that breaks off costs
 * little, because a connection can take hundreds of them with it, and the stream outlives its reader: the answer still
 * has to be written.
 */
import type { Http2Stream } from "node:http2";
import { TurnShare, turn } from "../../async/index.js";

/** Bytes that are taken from the stream before they are asked for. */
const mostWaiting = 512 * 1024;

/**
 * Bytes of all streams of this process that are given to their readers in one turn of the event loop. They copy, hash or
 * unpack them at once; that of twenty streams together held up everything else for 0.1 to 0.3 s.
 */
const received = new TurnShare(2 * 1024 * 1024);

/** How a stream is read. */
export interface ChunkOptions {
  /** Tells that the stream is over. Default: its close does. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Wait for the end of the turn of the event loop before what has come is yielded: a connection delivers frames of
   * 16 KiB, and a promise for each would cost more than what is done with them. Default false.
   */
  readonly bulk?: boolean;
}

/**
 * Yields what has come, frame by frame as it was received and never nothing, up to the end of the stream. A reset can
 * look like an end: ask who ended it.
 *
 * @throws the error of the stream, or one that says that it broke off
 */
export async function* framesOf(
  stream: Http2Stream,
  { signal, bulk = false }: ChunkOptions = {},
): AsyncGenerator<readonly Uint8Array[], undefined> {
  let ended = stream.readableEnded;
  let over = signal?.aborted ?? stream.destroyed;
  let frames: Uint8Array[] = [];
  let waiting = 0;
  let paused = false;
  let wake = (): void => {};
  const onData = (frame: Uint8Array): void => {
    frames.push(frame);
    waiting += frame.length;
    if (waiting >= mostWaiting && !paused) {
      paused = true;
      stream.pause();
    }
    wake();
  };
  const onEnd = (): void => {
    ended = true;
    wake();
  };
  const onOver = (): void => {
    over = true;
    wake();
  };
  stream.on("data", onData);
  stream.on("end", onEnd);
  if (signal === undefined) stream.on("close", onOver);
  else signal.addEventListener("abort", onOver, { once: true });
  stream.resume();
  try {
    for (;;) {
      // A stream that came to its end may be gone before all of it was taken.
      if (frames.length > 0 && (ended || !(over || stream.destroyed))) {
        if (bulk && !paused && !ended) await turn();
        const later = received.take(waiting);
        if (later !== undefined) await later;
        const taken = frames;
        frames = [];
        waiting = 0;
        if (paused) {
          paused = false;
          stream.resume();
        }
        yield taken;
      } else if (ended) return undefined;
      else if (over) throw stream.errored ?? new Error("the stream was closed");
      else {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    }
  } finally {
    stream.off("data", onData);
    stream.pause();
    stream.off("end", onEnd);
    stream.off("close", onOver);
    signal?.removeEventListener("abort", onOver);
  }
}
