/** Numbers, times and labels, for all values. */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import { average, epochSeconds, singlePrecision, timestamp } from "../../../lib/status/answers/encoding.js";
import { parseJsonObject } from "../../../lib/status/http/request-body.js";
import { printExposition } from "../../../lib/status/metrics/exposition.js";

describe("singlePrecision", () => {
  it("prints what the wire sent", () => {
    expect(singlePrecision(Math.fround(0.1))).toBe(0.1);
    expect(singlePrecision(Math.fround(4599.99))).toBe(4599.99);
    expect(singlePrecision(3)).toBe(3);
  });

  it("loses nothing, and no shorter decimal would do", () => {
    fc.assert(
      fc.property(fc.float({ noNaN: true, noDefaultInfinity: true }), (value) => {
        const printed = singlePrecision(value);
        expect(Math.fround(printed)).toBe(value);
        const digits = (n: number): number => n.toExponential().replace(/e.*|[.-]/g, "").length;
        expect(digits(printed)).toBeLessThanOrEqual(Number.isInteger(value) ? 17 : 9);
      }),
    );
  });

  it("leaves alone what is no number", () => {
    expect(singlePrecision(Number.NaN)).toBeNaN();
    expect(singlePrecision(Number.POSITIVE_INFINITY)).toBe(Number.POSITIVE_INFINITY);
  });
});

describe("timestamp", () => {
  it("is RFC 3339 without needless zeros", () => {
    expect(timestamp(0)).toBe("1970-01-01T00:00:00Z");
    expect(timestamp(Date.UTC(2026, 10, 20, 10, 0, 0))).toBe("2026-11-20T10:00:00Z");
    expect(timestamp(Date.UTC(2026, 10, 20, 10, 0, 0, 250))).toBe("2026-11-20T10:00:00.25Z");
    expect(timestamp(8.64e15 + 1)).toBe("1970-01-01T00:00:00Z");
    expect(timestamp(Number.NaN)).toBe("1970-01-01T00:00:00Z");
  });

  it("reads back as the same moment", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 253402300799999 }), (ms) => {
        const text = timestamp(ms);
        expect(text).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{0,2}[1-9])?Z$/);
        expect(Date.parse(text)).toBe(ms);
      }),
    );
  });
});

it("averages are whole and never NaN", () => {
  fc.assert(
    fc.property(fc.nat(), fc.nat(), (total, count) => {
      expect(Number.isInteger(average(total, count))).toBe(true);
      expect(average(total, 0)).toBe(0);
    }),
  );
  expect(epochSeconds(1999)).toBe(1);
});

describe("printExposition", () => {
  /** What a scraper makes of a quoted label value. */
  const readBack = (text: string): string =>
    text.replaceAll(/\\(.)/g, (_, char: string) => (char === "n" ? "\n" : char));

  it("escapes labels so that a scraper reads back the same text", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), fc.double({ noNaN: true }), (label, value) => {
        const text = printExposition([
          { name: "m", help: "h", type: "gauge", samples: [{ labels: { l: label }, value }] },
        ]);
        const match = /^# HELP m h\n# TYPE m gauge\nm\{l="((?:[^"\\\n]|\\.)*)"\} (\S+)\n$/.exec(text);
        expect(readBack(match?.[1] ?? "no match")).toBe(label);
        const number = match?.[2] ?? "";
        expect(Number(number.replace("Inf", "Infinity"))).toBe(value === 0 ? 0 : value);
      }),
    );
  });

  it("keeps help texts in one line", () => {
    const text = printExposition([{ name: "m", help: "a\nb\\c", type: "counter", samples: [{ value: 1 }] }]);
    expect(text).toBe("# HELP m a\\nb\\\\c\n# TYPE m counter\nm 1\n");
  });

  it("sorts families and samples, keeps buckets in order, leaves out empty families", () => {
    const bucket = (system: string, le: string | number, value: number) => ({
      suffix: "_bucket",
      labels: { le, system },
      value,
    });
    const text = printExposition([
      { name: "z", help: "z", type: "gauge", samples: [{ value: 1e21 }] },
      { name: "e", help: "e", type: "gauge", samples: [] },
      {
        name: "h",
        help: "h",
        type: "histogram",
        samples: [bucket("b", 5, 1), bucket("b", 10, 2), bucket("a", 5, 3), bucket("a", "+Inf", 4)],
      },
    ]);
    expect(text.split("\n").filter((line) => !line.startsWith("#"))).toEqual([
      'h_bucket{system="a",le="5"} 3',
      'h_bucket{system="a",le="+Inf"} 4',
      'h_bucket{system="b",le="5"} 1',
      'h_bucket{system="b",le="10"} 2',
      "z 1000000000000000000000",
      "",
    ]);
  });
});

it("any JSON object is taken as it is, everything else is refused", () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const bytes = new TextEncoder().encode(JSON.stringify(value));
      if (typeof value === "object" && value !== null && !Array.isArray(value)) {
        expect(parseJsonObject(bytes)).toEqual(JSON.parse(JSON.stringify(value)));
      } else {
        expect(() => parseJsonObject(bytes)).toThrow(/must be a JSON object/);
      }
    }),
  );
});
