/** Listings of NARs: any tree is printed and read back, however deep. */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { findInListing, type NarListing, parseListing, printListing } from "../../../lib/nix/index.js";
import { compareUtf8 } from "../../../lib/nix/nar/listing.js";
import { expectLinear } from "../../support/linear.js";

const fileName = fc
  .string({
    unit: fc.constantFrom("a", "B", "1", "0", " ", '"', "\\", "é", "\ue000", "\u{10000}"),
    minLength: 1,
  })
  .filter((name) => name !== "." && name !== "..");
const { tree } = fc.letrec<{ tree: NarListing; leaf: NarListing; directory: NarListing }>((tie) => ({
  leaf: fc.oneof(
    fc.record({
      type: fc.constant("regular" as const),
      size: fc.nat(),
      executable: fc.boolean(),
      narOffset: fc.integer({ min: 1 }),
    }),
    fc.record({ type: fc.constant("regular" as const), size: fc.nat(), executable: fc.boolean() }),
    fc.record({ type: fc.constant("symlink" as const), target: fc.string({ minLength: 1 }) }),
  ),
  directory: fc
    .array(fc.tuple(fileName, tie("tree")), { maxLength: 4 })
    .map((entries) => ({ type: "directory" as const, entries: new Map(entries) })),
  tree: fc.oneof({ maxDepth: 4 }, tie("leaf"), tie("directory")),
}));

/** A folder in a folder in a folder …, as text. */
const nested = (depth: number): string =>
  `{"version":1,"root":${'{"type":"directory","entries":{"a":'.repeat(depth)}{"type":"symlink","target":"x"}${"}}".repeat(depth)}}`;

describe("listings", () => {
  it("are read back as they were printed, and printed in byte order", () => {
    fc.assert(
      fc.property(tree, (root) => {
        const text = printListing(root);
        const read = parseListing(text);
        expect(read).toEqual(root);
        expect(printListing(read)).toBe(text);
        expect(JSON.parse(text)).toMatchObject({ version: 1 });
      }),
    );
    fc.assert(
      fc.property(fileName, fileName, (a, b) => {
        const order = Buffer.compare(Buffer.from(a), Buffer.from(b));
        expect(Math.sign(compareUtf8(a, b))).toBe(order);
      }),
    );
  });

  it.each([4000, 100_000])("of %d nested folders are read, searched and printed", (depth) => {
    const text = nested(depth);
    const root = parseListing(text);
    expect(findInListing(root, "a/".repeat(depth))).toEqual({ type: "symlink", target: "x" });
    expect(printListing(root)).toBe(text);
  });

  it("take linear time", async () => {
    const entry = (index: number): string => `"${index}":{"type":"symlink","target":"x"}`;
    const wide = (size: number): string => {
      const entries = Array.from({ length: size / 40 }, (_, index) => entry((index * 7919) % 1e6));
      return `{"version":1,"root":{"type":"directory","entries":{${entries.join(",")}}}}`;
    };
    const alike = (size: number): string => wide(size).replaceAll(/"(\d+)":/g, `"${"x".repeat(60)}$1":`);
    for (const make of [wide, alike, (size: number) => nested(size / 40)]) {
      await expectLinear(make, (text) => printListing(parseListing(text)), 2 << 20);
    }
  });
});
