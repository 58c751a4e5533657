import * as fc from "fast-check";
import { expect, test, vi } from "vitest";
import { Backoff, backoffDelay } from "../../lib/async/index.js";

test("delays double, stay within their upper half and below the longest", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 2000 }),
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      (failures, number) => {
        const delay = backoffDelay(failures, { firstMs: 500, longestMs: 30_000, random: () => number });
        const full = Math.min(30_000, 500 * 2 ** Math.min(40, failures - 1));
        expect(delay).toBeGreaterThanOrEqual(full / 2);
        expect(delay).toBeLessThanOrEqual(full);
      },
    ),
  );
});

test("a backoff waits longer after each failure, and begins again after a success", async () => {
  vi.useFakeTimers();
  try {
    const backoff = new Backoff({ firstMs: 100, longestMs: 350, random: () => 0 });
    const waited = async (): Promise<number> => {
      const start = Date.now();
      const over = backoff.wait();
      await vi.runAllTimersAsync();
      await over;
      return Date.now() - start;
    };
    expect([await waited(), await waited(), await waited()]).toEqual([50, 100, 175]);
    backoff.reset();
    expect(await waited()).toBe(50);
  } finally {
    vi.useRealTimers();
  }
});

test("a backoff ends with the signal and its reason", async () => {
  const stop = new AbortController();
  const waiting = new Backoff({ firstMs: 1_000_000, longestMs: 1_000_000 }).wait(stop.signal);
  stop.abort(new Error("closed"));
  await expect(waiting).rejects.toThrow("closed");
});
