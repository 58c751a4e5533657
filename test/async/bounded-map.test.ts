import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { BoundedMap } from "../../lib/async/index.js";

const operation = fc.oneof(
  fc.record({ kind: fc.constant("set" as const), key: fc.nat(9), value: fc.nat() }),
  fc.record({ kind: fc.constant("get" as const), key: fc.nat(9) }),
  fc.record({ kind: fc.constant("delete" as const), key: fc.nat(9) }),
  fc.record({ kind: fc.constant("later" as const), ms: fc.integer({ min: 1, max: 40 }) }),
);

interface Remembered {
  readonly key: number;
  readonly value: number;
  readonly until: number;
}

describe("BoundedMap", () => {
  test("behaves as a list with the next to be evicted in front", () => {
    fc.assert(
      fc.property(
        fc.array(operation, { maxLength: 60 }),
        fc.integer({ min: 1, max: 6 }),
        fc.constantFrom("set" as const, "use" as const),
        fc.option(fc.integer({ min: 1, max: 60 }), { nil: undefined }),
        (operations, capacity, evictBy, ttlMs) => {
          let now = 0;
          const map = new BoundedMap<number, number>({ capacity, evictBy, ttlMs, now: () => now });
          let model: Remembered[] = [];
          const without = (key: number): Remembered[] => model.filter((entry) => entry.key !== key);
          for (const step of operations) {
            switch (step.kind) {
              case "later":
                now += step.ms;
                break;
              case "delete":
                map.delete(step.key);
                model = without(step.key);
                break;
              case "set": {
                map.set(step.key, step.value);
                const until = now + (ttlMs ?? Number.POSITIVE_INFINITY);
                model = [...without(step.key), { key: step.key, value: step.value, until }].slice(-capacity);
                break;
              }
              case "get": {
                const found = model.find((entry) => entry.key === step.key);
                const alive = found !== undefined && found.until > now;
                expect(map.get(step.key)).toBe(alive ? found.value : undefined);
                expect(map.has(step.key)).toBe(alive);
                if (found !== undefined && !alive) model = without(step.key);
                if (alive && evictBy === "use") model = [...without(step.key), found];
              }
            }
            expect(map.size).toBe(model.length);
          }
        },
      ),
    );
  });
});
