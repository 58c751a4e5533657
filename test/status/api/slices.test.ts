import fc from "fast-check";
import { expect, it } from "vitest";
import { forEachSliced, sliceLength, sortSliced } from "../../../lib/status/api/slices.js";

/** Lists of several slices that are in order here and there. */
const lists = fc
  .array(fc.record({ from: fc.integer({ min: 0, max: 20 }), step: fc.integer({ min: -2, max: 2 }) }), {
    maxLength: 9,
  })
  .map((parts) =>
    parts.flatMap(({ from, step }) =>
      Array.from({ length: sliceLength / 2 - 1 }, (_, index) => from + step * index),
    ),
  );

it("sorts as Array.prototype.sort does, and leaves what is equal in its order", async () => {
  await fc.assert(
    fc.asyncProperty(lists, async (keys) => {
      const items = keys.map((key, index) => ({ key, index }));
      const compare = (a: { key: number }, b: { key: number }): number => a.key - b.key;
      const sorted = await sortSliced(items, compare);
      expect(sorted).toEqual([...items].sort(compare));
    }),
    { numRuns: 60 },
  );
});

it("visits each item of what changes meanwhile that is still there", async () => {
  const items = new Set(Array.from({ length: 3 * sliceLength }, (_, index) => index));
  const visited: number[] = [];
  setImmediate(() => {
    items.delete(2 * sliceLength);
    items.add(-1);
  });
  await forEachSliced(items, (item) => visited.push(item));
  expect(visited).toHaveLength(3 * sliceLength);
  expect(visited).not.toContain(2 * sliceLength);
  expect(visited.at(-1)).toBe(-1);
});
