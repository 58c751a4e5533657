/**
 * The bytes of an HTTP/2 stream as they arrive. As a stream's own iterator does, but a stream that breaks off costs
 * little, because a connection can take hundreds of them with it, and the stream outlives its reader: the answer still
 * has to be written.
 */
import type { Http2Stream } from "node:http2";

/**
 * Yields up to the end of the stream. A reset can look like an end: ask who ended it.
 *
 * `signal` tells that the stream is over; without it, its close does.
 *
 * @throws the error of the stream, or one that says that it broke off
 */
export async function* chunksOf(
  stream: Http2Stream,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array, undefined> {
  let ended = stream.readableEnded;
  let over = signal?.aborted ?? stream.destroyed;
  let wake = (): void => {};
  const onReadable = (): void => wake();
  const onEnd = (): void => {
    ended = true;
    wake();
  };
  const onOver = (): void => {
    over = true;
    wake();
  };
  stream.on("readable", onReadable);
  stream.on("end", onEnd);
  if (signal === undefined) stream.on("close", onOver);
  else signal.addEventListener("abort", onOver, { once: true });
  try {
    for (;;) {
      const chunk = over || stream.destroyed ? null : (stream.read() as Uint8Array | null);
      if (chunk !== null) yield chunk;
      else if (ended) return undefined;
      else if (over) throw stream.errored ?? new Error("the stream was closed");
      else {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    }
  } finally {
    stream.off("readable", onReadable);
    stream.off("end", onEnd);
    stream.off("close", onOver);
    signal?.removeEventListener("abort", onOver);
  }
}
