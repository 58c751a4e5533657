// Streams that use one buffer again and again: what is sent and what is received is not touched by that.
import { randomBytes } from "node:crypto";
import type { AddressInfo } from "node:net";
import { afterEach, expect, it } from "vitest";
import { type LendingStream, lendingStream, lentPieces } from "../../lib/compression/index.js";
import { connectRunner, type RunnerClient, RunnerServer } from "../../lib/rpc/index.js";
import { handlersWith } from "./support/handlers.js";
import { bytesOf } from "./support/streams.js";
import * as values from "./support/values.js";

const sent = randomBytes(3_000_001);
const cleanups: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** Every piece lies in the same buffer, which is overwritten as soon as the next is asked for. */
function inOneBuffer(bytes: Uint8Array, size: number): LendingStream {
  return lendingStream(async function* () {
    const buffer = Buffer.alloc(size);
    for (let at = 0; at < bytes.length; at += size) {
      const piece = bytes.subarray(at, at + size);
      buffer.set(piece);
      yield buffer.subarray(0, piece.length);
      buffer.fill(0);
      await Promise.resolve();
    }
  });
}

async function between(chunks: (sent: Uint8Array) => LendingStream): Promise<{
  readonly client: RunnerClient;
  readonly received: () => Buffer;
}> {
  let received = Buffer.alloc(0);
  const server = await RunnerServer.start({
    handlers: handlersWith({
      fetchPaths: async () => ({ infos: [], chunks: chunks(sent) }),
      buildResult: async (stream) => {
        const parts: Buffer[] = [];
        for await (const piece of lentPieces(stream.chunks)) parts.push(Buffer.from(piece));
        received = Buffer.concat(parts);
      },
    }),
    storeDir: values.storeDir,
    listeners: [{ kind: "tcp", host: "127.0.0.1", port: 0 }],
  });
  cleanups.push(() => server.close({ graceMs: 0 }));
  const { port } = server.addresses[0] as AddressInfo;
  const client = connectRunner({ endpoint: `http://127.0.0.1:${port}`, retryDelaysMs: [] });
  cleanups.push(async () => client.close());
  return { client, received: () => received };
}

it.each([9_000, 70_000, 262_144, 1_000_000])("pieces of %i bytes, up and down", async (size) => {
  const { client, received } = await between((bytes) => inOneBuffer(bytes, size));
  await client.buildResult({ infos: [], chunks: inOneBuffer(sent, size) });
  expect(received().equals(sent)).toBe(true);
  const { chunks } = await client.fetchPaths([]);
  const parts: Buffer[] = [];
  for await (const piece of lentPieces(chunks)) parts.push(Buffer.from(piece));
  expect(Buffer.concat(parts).equals(sent)).toBe(true);
});

it("those who keep pieces get their own", async () => {
  const { client } = await between((bytes) => inOneBuffer(bytes, 100_000));
  expect((await bytesOf((await client.fetchPaths([])).chunks)).equals(sent)).toBe(true);
});

it("a sender whose stream is cut does not wait for it", async () => {
  const server = await RunnerServer.start({
    handlers: handlersWith({
      buildResult: async ({ chunks }) => {
        for await (const _ of chunks) throw new Error("enough");
      },
    }),
    storeDir: values.storeDir,
    listeners: [{ kind: "tcp", host: "127.0.0.1", port: 0 }],
  });
  cleanups.push(() => server.close({ graceMs: 0 }));
  const { port } = server.addresses[0] as AddressInfo;
  const client = connectRunner({ endpoint: `http://127.0.0.1:${port}`, retryDelaysMs: [] });
  cleanups.push(async () => client.close());
  await expect(client.buildResult({ infos: [], chunks: inOneBuffer(sent, 262_144) })).rejects.toMatchObject({
    code: "internal",
  });
});
