// Pieces on their way to a writer, in buffers that are used again.
import { randomBytes } from "node:crypto";
import { expect, it } from "vitest";
import { PieceQueue } from "../../../lib/binary-cache/cache/piece-queue.js";

async function through(bytes: Uint8Array, use: "released" | "kept") {
  const queue = new PieceQueue();
  const buffers = new Set<ArrayBufferLike>();
  const pieces: Uint8Array[] = [];
  const reading = (async () => {
    for await (const piece of queue) {
      buffers.add(piece.buffer);
      pieces.push(use === "kept" ? piece : Buffer.from(piece));
      if (use === "released") queue.release(piece);
    }
  })();
  for (let at = 0; at < bytes.length; at += 100_000) await queue.push(bytes.subarray(at, at + 100_000));
  queue.end();
  await reading;
  return { whole: Buffer.concat(pieces), buffers: buffers.size };
}

const bytes = randomBytes(20_000_003);

it("buffers that are given back are few", async () => {
  const { whole, buffers } = await through(bytes, "released");
  expect(whole.equals(bytes)).toBe(true);
  expect(buffers).toBeLessThanOrEqual(6);
});

it("a reader that keeps pieces gives none back", async () => {
  const { whole } = await through(bytes, "kept");
  expect(whole.equals(bytes)).toBe(true);
});
