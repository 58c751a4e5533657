import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  parseFloatStrictly,
  parseMetricLine,
  parseProductLine,
  parseReleaseName,
  productName,
} from "../../lib/nix-support/lines.js";
import { expectLinear } from "../support/linear.js";

const word = fc.stringMatching(/^[A-Za-z0-9_-]{1,12}$/);
const barePath = fc.stringMatching(/^\/[A-Za-z0-9./_+=?-]{1,40}$/);
const blank = fc.stringMatching(/^[ \t]{1,3}$/);

describe("build products", () => {
  test("a line is type, subtype, path and perhaps an entry", () => {
    fc.assert(
      fc.property(word, word, barePath, fc.option(barePath), blank, (type, subtype, path, entry, gap) => {
        const line = [type, subtype, path, ...(entry === null ? [] : [entry])].join(gap);
        expect(parseProductLine(line)).toEqual({
          kind: "value",
          value: { type, subtype, path, entry: entry ?? "" },
        });
      }),
    );
  });

  test("a quoted path keeps its blanks and its angle brackets", () => {
    const inner = fc.string({ minLength: 1 }).filter((text) => !/["\n]/.test(text));
    fc.assert(
      fc.property(word, word, inner, (type, subtype, path) => {
        expect(parseProductLine(`${type} ${subtype} "${path}"`)).toMatchObject({ value: { path } });
      }),
    );
  });

  test.each([
    [' doc none "/nix/store/x"', "a blank in front"],
    ["my.type sub /nix/store/x", "a type with a dot"],
    ["doc none /nix/store/some text.txt more", "five words"],
    ["file iso /nix/store/a<b>", "angle brackets without quotes"],
    ['doc none ""', "an empty path"],
    ["doc none", "no path"],
    [`file iso /nix/store/${"x".repeat(4096)}`, "a path that is too long"],
  ])("%j is no product: %s", (line) => {
    expect(parseProductLine(line).kind).toBe("dropped");
  });

  test.each(["", " \t\r", "# file iso /nix/store/x", "  # text"])(
    "%j was not meant to say anything",
    (line) => {
      expect(parseProductLine(line)).toEqual({ kind: "ignored" });
    },
  );

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

  test("a line is a name, a number and perhaps a unit", () => {
    const value = (line: string): unknown => {
      const result = parseMetricLine(line);
      return result.kind === "value" ? result.value : result.kind;
    };
    expect(value("b 2 KiB more words")).toEqual({ name: "b", value: 2, unit: "KiB" });
    expect(value(" a .5 %")).toEqual({ name: "a", value: 0.5, unit: "%" });
    expect(value("e 1 mü")).toEqual({ name: "e", value: 1, unit: undefined });
    expect(value("")).toBe("ignored");
    for (const line of ["c", "d four", "b@d 1", `${"n".repeat(1025)} 1`]) expect(value(line)).toBe("dropped");
  });
});

describe("the worst lines take time linear in their length:", () => {
  const repeat = (text: string) => (size: number) => text.repeat(Math.ceil(size / text.length));
  const around = (before: string, text: string, after: string) => (size: number) =>
    before + repeat(text)(size) + after;

  test.each([
    ["a number of digits that ends in a letter", around("m ", "1", "x")],
    ["a number of digits", around("m ", "9", "")],
    ["digits behind a point, and an exponent", around("m .", "1", "e")],
    ["signs", around("m ", "+-", "")],
    ["blanks only", around("", " ", "")],
    ["blanks within", around("m", " \t", "1 x")],
    ["one name", around("", "m", "! 1")],
  ])("metric, %s", async (_, make) => {
    await expectLinear(make, parseMetricLine);
  });

  test.each([
    ["a type that goes on", around("", "a", "")],
    ["blanks behind the type", around("a", " ", '"')],
    ["blanks behind the subtype", around("a b", "\t", "<")],
    ["an open quote", around('a b "', "x y ", "")],
    ["many quotes", around("a b ", '"x" ', "")],
    ["a path and blanks", around("a b /c", " ", "d e f")],
    ["an entry that ends badly", around("a b /c ", "d", '"')],
    ["carriage returns", around("a b /c", "\r", "x")],
    ["blanks and a comment", around("", " ", "#")],
    ["blanks and a word", around("", " ", "x")],
  ])("product, %s", async (_, make) => {
    await expectLinear(make, parseProductLine);
  });

  test("release name", async () => {
    await expectLinear(around("a", " ", "b"), parseReleaseName);
    await expectLinear(around("a", "/", ""), productName);
  });
});

test("a release name is one word of the characters that Hydra allows", () => {
  expect(parseReleaseName(" nixos-24.05@x:1_2\n")).toBe("nixos-24.05@x:1_2");
  expect(parseReleaseName("two words")).toBeUndefined();
  expect(parseReleaseName("\n")).toBeUndefined();
});
