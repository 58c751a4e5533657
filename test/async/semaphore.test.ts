import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Semaphore } from "../../lib/async/index.js";

/** Work that is under way until `free` is called. */
function held(): { readonly work: () => Promise<void>; readonly free: () => void } {
  let free = (): void => {};
  const over = new Promise<void>((resolve) => {
    free = resolve;
  });
  return { work: () => over, free };
}

describe("Semaphore", () => {
  test("never runs more than the limit, and runs everything", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 5 }),
        fc.array(fc.nat(3), { maxLength: 30 }),
        async (limit, waits) => {
          const semaphore = new Semaphore(limit);
          let running = 0;
          let most = 0;
          const results = await Promise.all(
            waits.map((wait) =>
              semaphore.run(async () => {
                most = Math.max(most, ++running);
                for (let turn = 0; turn < wait; turn++) await Promise.resolve();
                running--;
                return wait * 2;
              }),
            ),
          );
          expect(results).toEqual(waits.map((wait) => wait * 2));
          expect(most).toBeLessThanOrEqual(limit);
        },
      ),
      { numRuns: 50 },
    );
  });

  test("a waiting caller can be aborted, and the others go on", async () => {
    const semaphore = new Semaphore(1);
    const { work, free } = held();
    const first = semaphore.run(work);
    const stop = new AbortController();
    const second = semaphore.run(async () => "second", stop.signal);
    const third = semaphore.run(async () => "third");
    stop.abort(new Error("called off"));
    await expect(second).rejects.toThrow("called off");
    free();
    await first;
    expect(await third).toBe("third");
  });

  test("a larger limit lets more in immediately", async () => {
    const semaphore = new Semaphore(1);
    const { work, free } = held();
    const first = semaphore.run(work);
    const second = semaphore.run(async () => "second");
    semaphore.limit = 2;
    expect(await second).toBe("second");
    free();
    await first;
  });

  test("an error gives the place back", async () => {
    const semaphore = new Semaphore(1);
    await expect(semaphore.run(() => Promise.reject(new Error("no")))).rejects.toThrow("no");
    expect(await semaphore.run(() => Promise.resolve("yes"))).toBe("yes");
  });
});
