// Compression in a process that has few file descriptors left: it ends, well or with an error, and works again afterwards.
import { randomBytes } from "node:crypto";
import { afterEach, expect, test } from "vitest";
import { compress, decompress } from "../../lib/compression/index.js";
import { leaveDescriptors } from "../support/few-descriptors.js";

let giveBack = async (): Promise<void> => undefined;
afterEach(() => giveBack());

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

async function all(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}

const ends = <T>(work: Promise<T>): Promise<T | string> =>
  work.catch((error: unknown) => (error instanceof Error ? error.message : String(error)));

test.each([1, 2, 3, 4, 5, 6, 7, 8, 9])(
  "a program that filters a stream with %i descriptors left gives all of it or an error",
  async (free) => {
    const data = randomBytes(400_000);
    giveBack = await leaveDescriptors(free);
    const packed = await ends(all(compress(once(data), { method: "zstd" })));
    await giveBack();
    if (typeof packed !== "string") {
      expect(data.equals(await all(decompress(once(packed), { method: "zstd", maxOutput: 1e6 })))).toBe(true);
    }
    const again = await all(compress(once(data), { method: "zstd" }));
    expect(data.equals(await all(decompress(once(again), { method: "zstd", maxOutput: 1e6 })))).toBe(true);
  },
  10_000,
);
