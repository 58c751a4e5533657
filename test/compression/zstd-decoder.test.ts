// The decoder in TypeScript against the zstd program: the same output for what it writes, and no other output for
// what is damaged.
import { execFileSync, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CompressionError } from "../../lib/compression/errors.js";
import { decodeInScript } from "../../lib/compression/zstd/script-decoder.js";

const maxWindow = 2 ** 27;

async function* pieces(data: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let offset = 0; offset < data.length; offset += size) yield data.subarray(offset, offset + size);
}

async function decode(data: Uint8Array, size = 10_000): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of decodeInScript(pieces(data, size), maxWindow)) parts.push(part);
  return Buffer.concat(parts);
}

function zstd(args: readonly string[], input: Uint8Array): Buffer {
  return execFileSync("zstd", ["-cq", ...args], { input, maxBuffer: 2 ** 28 });
}

const text = Buffer.from(
  Array.from({ length: 10_000 }, (_, i) => `[${i}] building '/nix/store/${i * 7919}-x.drv'\n`).join(""),
);
const samples: Readonly<Record<string, Buffer>> = {
  nothing: Buffer.alloc(0),
  "one byte": Buffer.from("x"),
  "a few bytes": Buffer.from("hello hello hello"),
  text,
  noise: randomBytes(300_000),
  "one byte often": Buffer.alloc(1_000_000, 7),
  "few symbols": Buffer.from(randomBytes(200_000).map((byte) => byte & 3)),
  "skewed symbols": Buffer.from(randomBytes(200_000).map((byte) => Math.clz32(byte))),
  mixed: Buffer.concat([text, randomBytes(100_000), text, Buffer.alloc(200_000), text.subarray(0, 77_777)]),
  code: readFileSync(process.execPath).subarray(30_000_000, 30_800_000),
};
const settings = [["--fast=5"], ["-1"], ["-3", "--no-check"], ["-9"], ["-19"], ["--long=24", "-5"]];

describe("the zstd decoder in TypeScript", () => {
  for (const [name, sample] of Object.entries(samples)) {
    it(`reads what the program writes: ${name}`, async () => {
      for (const args of settings) {
        expect((await decode(zstd(args, sample))).equals(sample)).toBe(true);
      }
    });
  }

  it("reads blocks that are smaller than usual, in pieces of any size", async () => {
    for (const size of [1, 2, 3, 17, 1000]) {
      const packed = zstd(["--zstd=wlog=10", "-4"], text.subarray(0, 100_000));
      expect((await decode(packed, size)).equals(text.subarray(0, 100_000))).toBe(true);
    }
  });

  it("has for damaged data the output of the program, or an error", async () => {
    const packed = zstd(["-5", "--no-check"], samples.mixed?.subarray(400_000, 460_000) ?? text);
    const damage = fc.array(
      fc.record({ at: fc.nat(packed.length - 1), bits: fc.integer({ min: 1, max: 255 }) }),
      { minLength: 1, maxLength: 3 },
    );
    let accepted = 0;
    await fc.assert(
      fc.asyncProperty(damage, async (changes) => {
        const damaged = Buffer.from(packed);
        for (const { at, bits } of changes) damaged[at] = (damaged[at] ?? 0) ^ bits;
        const theirs = spawnSync("zstd", ["-dcq"], { input: damaged, maxBuffer: 2 ** 28 });
        const ours = await decode(damaged).catch((error: unknown) => error);
        if (ours instanceof Buffer) {
          accepted += 1;
          expect(theirs.status).toBe(0);
          expect(ours.equals(theirs.stdout)).toBe(true);
        } else {
          // The program does not look for bits that are left over in a Huffman stream; RFC 8878 (4.2.2) demands it.
          expect(ours).toBeInstanceOf(CompressionError);
        }
      }),
      { numRuns: 100 },
    );
    expect(accepted).toBeGreaterThan(0);
  });

  it("survives any bytes after a header", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 3, maxLength: 400 }), async (bytes) => {
        const payload = Buffer.from(bytes);
        const block = Buffer.alloc(3);
        block.writeUIntLE((payload.length << 3) | 0b101, 0, 3);
        const frame = Buffer.concat([Buffer.from("28b52ffd0038", "hex"), block, payload]);
        const ours = await decode(frame).catch((error: unknown) => error);
        if (!(ours instanceof Buffer)) expect(ours).toBeInstanceOf(CompressionError);
        else expect(ours.length).toBeLessThanOrEqual(131_072);
      }),
      { numRuns: 2000 },
    );
  });
});
