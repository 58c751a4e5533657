import { describe, expect, test } from "vitest";
import { Microbatch } from "../../lib/async/index.js";

describe("Microbatch", () => {
  test("calls of one turn share a run and get their own results", async () => {
    const runs: number[][] = [];
    const batch = new Microbatch<number, number>((items) => {
      runs.push([...items]);
      return Promise.resolve(items.map((item) => item * 2));
    });
    expect(await Promise.all([batch.add(1), batch.add(2), batch.add(3)])).toEqual([2, 4, 6]);
    expect(runs).toEqual([[1, 2, 3]]);
  });

  test("what arrives while a run is under way goes together into the next", async () => {
    const runs: number[][] = [];
    let release: () => void = () => {};
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    const batch = new Microbatch<number, number>(async (items) => {
      runs.push([...items]);
      if (runs.length === 1) await gate;
      return items;
    });
    const first = batch.add(1);
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
    const rest = [batch.add(2), batch.add(3)];
    release();
    await Promise.all([first, ...rest]);
    expect(runs).toEqual([[1], [2, 3]]);
  });

  test("a failed run rejects its own calls only", async () => {
    let fail = true;
    const batch = new Microbatch<number, number>((items) => {
      if (fail) return Promise.reject(new Error("no database"));
      return Promise.resolve(items);
    });
    await expect(Promise.all([batch.add(1), batch.add(2)])).rejects.toThrow("no database");
    fail = false;
    expect(await batch.add(3)).toBe(3);
  });

  test("no run is longer than the limit", async () => {
    const sizes: number[] = [];
    const batch = new Microbatch<number, number>(
      (items) => {
        sizes.push(items.length);
        return Promise.resolve(items);
      },
      { limit: 4 },
    );
    await Promise.all(Array.from({ length: 10 }, (_, n) => batch.add(n)));
    expect(sizes).toEqual([4, 4, 2]);
  });
});
