// What passes through an inspection, however it is cut into pieces.
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FileMeter, NarInspection } from "../../../lib/binary-cache/cache/nar-inspection.js";
import { pieces } from "../../../lib/binary-cache/objects/byte-streams.js";
import { hashBytes, hashesEqual } from "../../../lib/nix/path/hash.js";
import { bytesOf, file, folder, sample } from "../samples.js";

const tree = sample("a", folder({ one: file("1"), two: folder({ three: file("33") }), zero: file("") }));

/** Cuts `data` at the given places. */
async function* cut(data: Buffer, sizes: readonly number[]): AsyncGenerator<Uint8Array> {
  let offset = 0;
  for (let i = 0; offset < data.length; i++) {
    const size = sizes[i % sizes.length] ?? 1;
    yield data.subarray(offset, offset + size);
    offset += size;
  }
}

const sizes = fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1, maxLength: 5 });

describe("NarInspection", () => {
  it("passes every byte on and finds the listing", async () => {
    await fc.assert(
      fc.asyncProperty(sizes, fc.boolean(), async (cuts, listing) => {
        const inspection = new NarInspection(tree.info, { listing });
        const meter = new FileMeter();
        const passed = await bytesOf(meter.pass(inspection.pass(cut(tree.nar, cuts))));
        expect(passed.equals(tree.nar)).toBe(true);
        expect(meter.size).toBe(tree.nar.length);
        expect(hashesEqual(meter.finish(), hashBytes("sha256", tree.nar))).toBe(true);
        expect(inspection.listing?.type).toBe(listing ? "directory" : undefined);
      }),
      { numRuns: 50 },
    );
  });

  it("refuses any changed byte and any other length", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.nat(tree.nar.length - 1),
        fc.integer({ min: 1, max: 255 }),
        sizes,
        async (at, flip, cuts) => {
          const bent = Buffer.from(tree.nar);
          bent[at] = (bent[at] ?? 0) ^ flip;
          for (const nar of [
            bent,
            tree.nar.subarray(0, at),
            Buffer.concat([tree.nar, bent.subarray(0, 1)]),
          ]) {
            const inspection = new NarInspection(tree.info, { listing: true });
            await expect(bytesOf(inspection.pass(cut(nar, cuts)))).rejects.toMatchObject({
              code: "mismatch",
            });
          }
        },
      ),
      { numRuns: 30 },
    );
  });

  it("something that hashes right but is no archive has no listing", async () => {
    const odd = { nar: Buffer.from("no archive at all"), info: tree.info };
    const info = { ...odd.info, narHash: hashBytes("sha256", odd.nar), narSize: odd.nar.length };
    const inspection = new NarInspection(info, { listing: true });
    await bytesOf(inspection.pass(cut(odd.nar, [3])));
    expect(inspection.listing).toBeUndefined();
    expect(inspection.listingFault).toBeDefined();
  });

  it("pieces are of one size but for the last", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ maxLength: 500 }),
        sizes,
        fc.integer({ min: 1, max: 64 }),
        async (data, cuts, size) => {
          const parts: Buffer[] = [];
          for await (const part of pieces(cut(Buffer.from(data), cuts), size)) parts.push(part);
          expect(parts.slice(0, -1).every((part) => part.length === size)).toBe(true);
          expect(Buffer.concat(parts).equals(Buffer.from(data))).toBe(true);
        },
      ),
      { numRuns: 50 },
    );
  });
});
