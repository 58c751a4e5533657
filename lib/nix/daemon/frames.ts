/** Framed bodies of uploads: each frame is a length above 0 and the bytes, the end is a length of 0. */

import type { ByteStream } from "../store/store.js";
import { maxFrameSize } from "./protocol/numbers.js";
import type { Transport } from "./transport.js";

/** Pieces below this are put together, so that a NAR writer's small tokens do not become frames of their own. */
const smallPiece = 16 << 10;

/** More pieces than this are put together: each costs more than its copy. */
const mostPieces = 4;

/**
 * Sends `body` and its end. Stops early, with a proper end, once `answered` says that the daemon has made up its mind.
 * When the body fails, its error comes through and no end is sent. `head` (the request) goes before it, in the same
 * write when the body is short: every write wakes the daemon.
 */
export async function sendFrames(
  transport: Pick<Transport, "write">,
  body: ByteStream,
  answered: () => boolean,
  head?: Uint8Array,
): Promise<void> {
  let before = head === undefined ? [] : [head];
  let collected: Uint8Array[] = [];
  let size = 0;
  const flush = async (...after: readonly Uint8Array[]): Promise<void> => {
    const frame = size === 0 ? [] : [length(size), ...collected];
    const parts = [...before, ...frame, ...after];
    before = [];
    collected = [];
    size = 0;
    if (parts.length === 0) return;
    await transport.write(...(parts.length > mostPieces ? [Buffer.concat(parts)] : parts));
  };
  for await (const piece of body) {
    if (answered()) break;
    if (piece.length < smallPiece) {
      if (size + piece.length > maxFrameSize) await flush();
      if (piece.length > 0) collected.push(Uint8Array.prototype.slice.call(piece));
      size += piece.length;
      if (size >= smallPiece) await flush();
      continue;
    }
    await flush();
    for (let at = 0; at < piece.length && !answered(); at += maxFrameSize) {
      const part = piece.subarray(at, at + maxFrameSize);
      await transport.write(length(part.length), part);
    }
  }
  if (answered()) await transport.write(length(0));
  else await flush(length(0));
}

function length(value: number): Uint8Array {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32LE(value);
  return bytes;
}
