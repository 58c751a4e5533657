import * as fc from "fast-check";
import { expect, test } from "vitest";
import { backoffDelay, pause } from "../../../lib/builder/connection/backoff.js";

test("delays double, stay within their upper half and below the longest", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 2000 }),
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      (failures, number) => {
        const delay = backoffDelay(failures, { first: 500, longest: 30_000, random: () => number });
        const full = Math.min(30_000, 500 * 2 ** Math.min(40, failures - 1));
        expect(delay).toBeGreaterThanOrEqual(full / 2);
        expect(delay).toBeLessThanOrEqual(full);
      },
    ),
  );
});

test("a pause ends with the signal", async () => {
  const stop = new AbortController();
  const paused = pause(1_000_000, stop.signal);
  stop.abort();
  await paused;
});
