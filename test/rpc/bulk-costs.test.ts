// What a MiB of an output costs: pieces that pass through promises, and writes. Counts, because times depend on the machine.
import { randomBytes } from "node:crypto";
import { expect, it } from "vitest";
import { sendFrames } from "../../lib/nix/daemon/frames.js";
import { type NarStream, packNars, unpackNars } from "../../lib/rpc/index.js";
import { type BulkEvents, gathered } from "../../lib/rpc/stream/index.js";
import { file, sample } from "../binary-cache/samples.js";

const mebibytes = 16;
const large = sample("a", file(randomBytes(mebibytes << 20)));

async function* cut(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function piecesOf(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array[]> {
  const pieces: Uint8Array[] = [];
  for await (const chunk of chunks) pieces.push(Buffer.from(chunk));
  return pieces;
}

/** Payload as it comes from a connection, some frames at a time. */
function arriving(frames: AsyncIterator<Uint8Array>, atOnce: number): BulkEvents {
  const waiting: Uint8Array[] = [];
  return {
    take: () => {
      const bytes = waiting.shift();
      return bytes && { kind: "data", bytes };
    },
    more: async () => {
      while (waiting.length < atOnce) {
        const next = await frames.next();
        if (next.done === true) break;
        waiting.push(next.value);
      }
      return waiting.length > 0;
    },
  };
}

function packed(): NarStream {
  return packNars([large.info], () => cut(large.nar, 65_536));
}

it("what is received comes in pieces of 256 KiB, whatever the frames of the connection", async () => {
  for (const size of [1_000, 16_384, 65_536]) {
    const pieces = await piecesOf(gathered(arriving(cut(large.nar, size), 1)));
    expect(pieces.length).toBeLessThanOrEqual(4 * mebibytes + 2);
    expect(Buffer.concat(pieces).equals(large.nar)).toBe(true);
  }
});

it("large pieces are passed on as they are", async () => {
  const first = new Uint8Array(300_000);
  const second = new Uint8Array(200_000);
  async function* source(): AsyncGenerator<Uint8Array> {
    yield first;
    yield second;
  }
  const pieces: Uint8Array[] = [];
  for await (const piece of gathered(arriving(source(), 1)).lent()) pieces.push(piece);
  expect(pieces[0]).toBe(first);
  expect(pieces[1]).toBe(second);
});

it("what is received is put together in one buffer for those who do not keep it", async () => {
  const buffers = new Set<ArrayBufferLike>();
  const pieces: Uint8Array[] = [];
  for await (const piece of gathered(arriving(cut(large.nar, 16_384), 20)).lent()) {
    if (piece.buffer !== large.nar.buffer) buffers.add(piece.buffer);
    pieces.push(Buffer.from(piece));
  }
  expect(Buffer.concat(pieces).equals(large.nar)).toBe(true);
  expect(buffers.size).toBe(1);
  const kept: Uint8Array[] = [];
  for await (const piece of gathered(arriving(cut(large.nar, 16_384), 20))) kept.push(piece);
  expect(Buffer.concat(kept).equals(large.nar)).toBe(true);
});

it("packing and unpacking: at most 16 pieces a MiB each, and lent pieces lie in few buffers", async () => {
  const { infos, chunks } = packed();
  const frame = await piecesOf(chunks);
  expect(frame.length).toBeLessThanOrEqual(16 * mebibytes);
  const buffers = new Set<ArrayBufferLike>();
  let count = 0;
  const whole: Uint8Array[] = [];
  const stream = { infos, chunks: cut(Buffer.concat(frame), 262_144) };
  for await (const { nar } of unpackNars(stream, { pieces: "lent" })) {
    for await (const piece of nar) {
      count += 1;
      buffers.add(piece.buffer);
      whole.push(Buffer.from(piece));
    }
  }
  expect(Buffer.concat(whole).equals(large.nar)).toBe(true);
  expect(count).toBeLessThanOrEqual(16 * mebibytes);
  expect(buffers.size).toBeLessThanOrEqual(3);
});

it("pieces that are not lent are the consumer's", async () => {
  const kept: Uint8Array[] = [];
  for await (const { nar } of unpackNars(packed())) for await (const piece of nar) kept.push(piece);
  expect(Buffer.concat(kept).equals(large.nar)).toBe(true);
});

it("a daemon gets one write for each piece of up to 256 KiB", async () => {
  const writes: number[] = [];
  const transport = {
    write: (...pieces: readonly Uint8Array[]): Promise<void> => {
      writes.push(pieces.length);
      return Promise.resolve();
    },
  };
  await sendFrames(transport, cut(large.nar, 262_144), () => false);
  expect(writes.length).toBeLessThanOrEqual(4 * mebibytes + 3);
});
