// Texts and numbers on their way into columns, and payloads of notifications.
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  buildsFinished,
  maxPayloadBytes,
  stepFinished,
} from "../../../lib/database/recording/notifications.js";
import { storableText, toBigint, toOverhead, toSeconds } from "../../../lib/database/recording/values.js";

describe("values for columns", () => {
  it("texts are valid UTF-8 without NUL and keep whatever else fits", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 60 }),
        fc.integer({ min: 0, max: 60 }),
        (units, limit) => {
          const stored = storableText(String.fromCharCode(...units), limit);
          expect(stored.length).toBeLessThanOrEqual(limit);
          expect(stored).not.toContain("\0");
          expect(Buffer.from(stored).toString()).toBe(stored);
        },
      ),
    );
    expect(storableText("plain ✓ 𝄞", 100)).toBe("plain ✓ 𝄞");
    expect(storableText("a\0b\ud800c", 100)).toBe("ab\ufffdc");
    // A pair that is cut in two must not leave half a character.
    expect(storableText("𝄞", 1)).toBe("\ufffd");
  });

  it("numbers always fit their column", () => {
    fc.assert(
      fc.property(fc.double(), (value) => {
        const seconds = toSeconds(value);
        expect(Number.isInteger(seconds) && seconds >= 1 && seconds < 2 ** 53).toBe(true);
        const overhead = toOverhead(value);
        expect(overhead === null || (Number.isInteger(overhead) && overhead > 0 && overhead < 2 ** 31)).toBe(
          true,
        );
        expect(toBigint(value)).toMatch(/^\d{1,16}$/);
      }),
    );
    expect(toSeconds(1_795_486_102_999)).toBe(1_795_486_102);
    expect(toOverhead(0)).toBeNull();
    expect(toBigint(2 ** 40)).toBe("1099511627776");
  });
});

describe("payloads", () => {
  it("name every build once, in order, and stay below the limit", () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.integer({ min: 1, max: 2 ** 31 - 1 }), { maxLength: 3000 }),
        fc.integer({ min: 10, max: maxPayloadBytes }),
        (ids, limit) => {
          const payloads = buildsFinished(ids, limit).map((one) => one.payload);
          expect(payloads.flatMap((payload) => payload.split("\t").map(Number))).toEqual(ids);
          for (const payload of payloads) expect(payload.length).toBeLessThanOrEqual(limit);
        },
      ),
      { numRuns: 50 },
    );
    expect(buildsFinished([])).toEqual([]);
  });

  it("a log path that would break the fields is left out", () => {
    expect(stepFinished(3, 1, "/logs/ab/c.drv").payload).toBe("3\t1\t/logs/ab/c.drv");
    for (const path of [undefined, "", "/a\tb", `/${"x".repeat(5000)}`]) {
      expect(stepFinished(3, 1, path).payload).toBe("3\t1\t-");
    }
  });
});
