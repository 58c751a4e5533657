/** Bytes on their way to a decoder, put together into pieces that are worth a write. */
import { type LendingStream, lendingStream } from "../../compression/index.js";
import type { BulkEvents } from "./reader.js";

/** Bytes of a piece. */
const pieceSize = 256 * 1024;
/** Buffers of streams that are over: a fresh one for each of many short streams costs more than what is in it. */
const spare: Uint8Array[] = [];
const mostSpare = 4;

/**
 * The payload of `events` in pieces of about 256 KiB, the last one shorter. What comes first is passed on at once: most
 * streams are short, and a consumer sees that one has begun. `onEnd` is called once nothing more is read.
 */
export function gathered(events: BulkEvents, onEnd: () => void = () => undefined): LendingStream {
  return lendingStream(() => gather(events, onEnd));
}

async function* gather(events: BulkEvents, onEnd: () => void): AsyncGenerator<Uint8Array, undefined> {
  let buffer: Uint8Array | undefined;
  try {
    let begun = false;
    do {
      for (let event = events.take(); event !== undefined; event = events.take()) {
        if (event.kind !== "data") continue;
        begun = true;
        yield event.bytes;
      }
    } while (!begun && (await events.more()));
    let filled = 0;
    while (await events.more()) {
      for (let event = events.take(); event !== undefined; event = events.take()) {
        if (event.kind !== "data") continue;
        const { bytes } = event;
        if (filled === 0 && bytes.length >= pieceSize / 2) {
          yield bytes;
          continue;
        }
        buffer ??= spare.pop() ?? Buffer.allocUnsafeSlow(pieceSize);
        for (let at = 0; at < bytes.length; ) {
          const part = bytes.subarray(at, at + pieceSize - filled);
          buffer.set(part, filled);
          filled += part.length;
          at += part.length;
          if (filled < pieceSize) continue;
          yield buffer;
          filled = 0;
        }
      }
    }
    if (buffer !== undefined && filled > 0) yield buffer.subarray(0, filled);
    return undefined;
  } finally {
    if (buffer !== undefined && spare.length < mostSpare) spare.push(buffer);
    onEnd();
  }
}
