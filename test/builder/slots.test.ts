import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Slots } from "../../lib/builder/slots.js";

describe("slots", () => {
  test("never run more than the limit, and run everything", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 5 }),
        fc.array(fc.nat(3), { maxLength: 30 }),
        async (limit, waits) => {
          const slots = new Slots(limit);
          let running = 0;
          let most = 0;
          const results = await slots.map(waits, async (wait) => {
            most = Math.max(most, ++running);
            for (let turn = 0; turn < wait; turn++) await Promise.resolve();
            running--;
            return wait * 2;
          });
          expect(results).toEqual(waits.map((wait) => wait * 2));
          expect(most).toBeLessThanOrEqual(limit);
        },
      ),
      { numRuns: 50 },
    );
  });

  test("the first error ends a map, and what has not begun does not begin", async () => {
    const begun: number[] = [];
    const work = new Slots(1).map([1, 2, 3], async (item) => {
      begun.push(item);
      if (item === 2) throw new Error("two");
    });
    await expect(work).rejects.toThrow("two");
    expect(begun).toEqual([1, 2]);
  });

  test("who waits can be called off, and the others go on", async () => {
    const slots = new Slots(1);
    let free = (): void => {};
    const first = slots.use(
      () =>
        new Promise<void>((resolve) => {
          free = resolve;
        }),
    );
    const stop = new AbortController();
    const second = slots.use(async () => "second", stop.signal);
    const third = slots.use(async () => "third");
    stop.abort(new Error("called off"));
    await expect(second).rejects.toThrow("called off");
    free();
    await first;
    expect(await third).toBe("third");
  });

  test("a larger limit lets more in at once", async () => {
    const slots = new Slots(1);
    let free = (): void => {};
    const first = slots.use(
      () =>
        new Promise<void>((resolve) => {
          free = resolve;
        }),
    );
    const second = slots.use(async () => "second");
    slots.limit = 2;
    expect(await second).toBe("second");
    free();
    await first;
  });
});
