import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { mapLimited, turn } from "../../lib/async/index.js";

describe("mapLimited", () => {
  test("keeps the order of the items, the order of starts and the limit", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.nat(4), { maxLength: 30 }),
        fc.integer({ min: 1, max: 6 }),
        async (waits, limit) => {
          let active = 0;
          let most = 0;
          const started: number[] = [];
          const results = await mapLimited(waits, limit, async (wait, index) => {
            started.push(index);
            most = Math.max(most, ++active);
            for (let i = 0; i < wait; i++) await Promise.resolve();
            active--;
            return wait * 10;
          });
          expect(results).toEqual(waits.map((wait) => wait * 10));
          expect(started).toEqual(waits.map((_, index) => index));
          expect(most).toBeLessThanOrEqual(limit);
        },
      ),
      { numRuns: 50 },
    );
  });

  test("after an error starts nothing more, awaits what is under way, and rejects with the first error", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ wait: fc.nat(5), fails: fc.boolean() }), { minLength: 1, maxLength: 20 }),
        fc.integer({ min: 1, max: 5 }),
        async (items, limit) => {
          const errors: Error[] = [];
          let active = 0;
          let startedAfterError = 0;
          const work = mapLimited(items, limit, async ({ wait, fails }, index) => {
            if (errors.length > 0) startedAfterError++;
            active++;
            for (let i = 0; i < wait; i++) await Promise.resolve();
            active--;
            if (!fails) return;
            const error = new Error(`item ${index}`);
            errors.push(error);
            throw error;
          });
          const outcome = await work.then(
            () => undefined,
            (error: unknown) => error,
          );
          expect(outcome).toBe(errors[0]);
          expect(active).toBe(0);
          // Errors of one turn may find another worker between two items.
          expect(startedAfterError).toBeLessThan(limit);
        },
      ),
      { numRuns: 100 },
    );
  });

  test("starts nothing more once the signal aborts, and rejects with its reason", async () => {
    const stop = new AbortController();
    const started: number[] = [];
    const finished: number[] = [];
    const work = mapLimited(
      [1, 2, 3, 4],
      2,
      async (item) => {
        started.push(item);
        await turn();
        finished.push(item);
      },
      stop.signal,
    );
    stop.abort(new Error("stopped"));
    await expect(work).rejects.toThrow("stopped");
    expect(started).toEqual([1, 2]);
    expect(finished).toEqual([1, 2]);
  });
});
