import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  parseFloatStrictly,
  parseMetrics,
  parseProductLine,
  parseReleaseName,
  productName,
} from "../../lib/nix-support/lines.js";

const word = fc.stringMatching(/^[A-Za-z0-9_-]{1,12}$/);
const barePath = fc.stringMatching(/^\/[A-Za-z0-9./_+=?-]{1,40}$/);
const blank = fc.stringMatching(/^[ \t]{1,3}$/);

describe("build products", () => {
  test("a line is type, subtype, path and perhaps an entry", () => {
    fc.assert(
      fc.property(word, word, barePath, fc.option(barePath), blank, (type, subtype, path, entry, gap) => {
        const line = [type, subtype, path, ...(entry === null ? [] : [entry])].join(gap);
        expect(parseProductLine(line)).toEqual({ type, subtype, path, entry: entry ?? "" });
      }),
    );
  });

  test("a quoted path keeps its blanks and its angle brackets", () => {
    const inner = fc.string({ minLength: 1 }).filter((text) => !/["\n]/.test(text));
    fc.assert(
      fc.property(word, word, inner, (type, subtype, path) => {
        expect(parseProductLine(`${type} ${subtype} "${path}"`)?.path).toBe(path);
      }),
    );
  });

  test.each([
    [' doc none "/nix/store/x"', "a blank in front"],
    ["# file iso /nix/store/x", "a comment"],
    ["my.type sub /nix/store/x", "a type with a dot"],
    ["doc none /nix/store/some text.txt more", "five words"],
    ["file iso /nix/store/a<b>", "angle brackets without quotes"],
    ['doc none ""', "an empty path"],
    ["doc none", "no path"],
    ["", "nothing"],
  ])("%j is no product: %s", (line) => {
    expect(parseProductLine(line)).toBeUndefined();
  });

  test("any text is either a product or not, without an error", () => {
    fc.assert(fc.property(fc.string(), (line) => void parseProductLine(line)));
  });

  test("the name is the last component, if Hydra can show it", () => {
    expect(productName("share/doc/a b+1.txt")).toBe("a b+1.txt");
    expect(productName("")).toBe("");
    expect(productName("share/ä.txt")).toBe("");
    expect(productName("a<b")).toBe("");
  });
});

describe("metrics", () => {
  test("numbers are printed and read back", () => {
    fc.assert(
      fc.property(fc.double(), (number) => {
        const text = Number.isFinite(number)
          ? String(number)
          : Number.isNaN(number)
            ? "NaN"
            : number > 0
              ? "inf"
              : "-inf";
        expect(parseFloatStrictly(text)).toBe(number === 0 ? Number(text) : number);
      }),
    );
  });

  test.each(["", "1e", "0x10", "1_000", "4 ", "--1", "e5", ".", "1,5", "infinit"])(
    "%j is no number",
    (text) => {
      expect(parseFloatStrictly(text)).toBeUndefined();
    },
  );

  test("the last line of a name wins, in the place of the first", () => {
    expect(parseMetrics("a 1\nb 2 KiB more words\n\n a .5 %\nc\nd four\nb@d 1\ne 1 mü")).toEqual([
      { name: "a", value: 0.5, unit: "%" },
      { name: "b", value: 2, unit: "KiB" },
      { name: "e", value: 1, unit: undefined },
    ]);
  });
});

test("a release name is one word of the characters that Hydra allows", () => {
  expect(parseReleaseName(" nixos-24.05@x:1_2\n")).toBe("nixos-24.05@x:1_2");
  expect(parseReleaseName("two words")).toBeUndefined();
  expect(parseReleaseName("\n")).toBeUndefined();
});
