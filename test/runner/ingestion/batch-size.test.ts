import { expect, test } from "vitest";
import { BatchSize } from "../../../lib/runner/ingestion/batch-size.js";

/** Sizes of the batches while every build brings `stepsPerBuild(n)` new steps, where n builds are there already. */
function sizes(batches: number, most: number, stepsPerBuild: (taken: number) => number): number[] {
  const batch = new BatchSize();
  const found: number[] = [];
  for (let n = 0, taken = 0; n < batches; n++) {
    const size = batch.next(most);
    found.push(size);
    batch.took(size, size * stepsPerBuild(taken));
    taken += size;
  }
  return found;
}

test("batches grow as long as they bring few steps, up to the limit", () => {
  expect(sizes(7, 200, () => 2)).toEqual([8, 16, 32, 64, 128, 200, 200]);
  expect(sizes(3, 200, () => 0)).toEqual([8, 16, 32]);
  expect(sizes(3, 3, () => 2)).toEqual([3, 3, 3]);
});

test("a batch that brought many steps is followed by a small one", () => {
  expect(sizes(4, 200, (taken) => (taken === 0 ? 400 : 1))).toEqual([8, 1, 2, 4]);
  expect(sizes(2, 200, () => 10_000)).toEqual([8, 1]);
});
