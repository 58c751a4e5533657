/** The worst texts of derivations take time linear in their length. */
import { describe, expect, it } from "vitest";
import {
  byteStringFromText,
  defaultStoreDir,
  NixFormatError,
  parseDerivation,
  printDerivation,
} from "../../../lib/nix/index.js";
import { expectLinear } from "../../support/linear.js";

const dir = defaultStoreDir;
const hash = (index: number): string => String(index).padStart(32, "0");
const many = (size: number, unit: number, item: (index: number) => string): string =>
  Array.from({ length: Math.ceil(size / unit) }, (_, index) => item(index)).join(",");
const whole = (parts: {
  inputs?: string;
  sources?: string;
  args?: string;
  env?: string;
  dynamic?: boolean;
}): string =>
  `${parts.dynamic === true ? 'DrvWithVersion("xp-dyn-drv",' : "Derive("}[("out","","r:sha256","")],[${parts.inputs ?? ""}],[${parts.sources ?? ""}],"s","b",[${parts.args ?? ""}],[${parts.env ?? ""}])`;

describe("a derivation", () => {
  it.each([
    ["of one long string", (size: number) => whole({ args: `"${"x".repeat(size)}"` })],
    ["of escapes only", (size: number) => whole({ args: `"${"\\n".repeat(size / 2)}"` })],
    ["of many arguments", (size: number) => whole({ args: many(size, 4, () => '"x"') })],
    ["of many variables", (size: number) => whole({ env: many(size, 14, (index) => `("${index}","v")`) })],
    [
      "of many sources",
      (size: number) => whole({ sources: many(size, 49, (index) => `"/nix/store/${hash(index)}-x"`) }),
    ],
    [
      "of many inputs",
      (size: number) =>
        whole({ inputs: many(size, 64, (index) => `("/nix/store/${hash(index)}-x.drv",["out"])`) }),
    ],
    [
      "of many dynamic outputs",
      (size: number) =>
        whole({
          dynamic: true,
          inputs: `("/nix/store/${hash(1)}-x.drv",(["out"],[${many(size, 20, (index) => `("o${index}",["a"])`)}]))`,
        }),
    ],
  ])("%s is read and printed", async (_, make) => {
    await expectLinear(
      (size) => byteStringFromText(make(size)),
      (text) => printDerivation(dir, parseDerivation(dir, "x", text)),
    );
  });

  it.each([
    ["an open string", (size: number) => `Derive([("${"x".repeat(size)}`],
    ["brackets", (size: number) => `Derive(${"[".repeat(size)}`],
    [
      "nested dynamic inputs",
      (size: number) =>
        `DrvWithVersion("xp-dyn-drv",[("out","","r:sha256","")],[("/nix/store/${hash(1)}-x.drv",${'(["o"],[("o",'.repeat(size / 14)}`,
    ],
    ["a hash algorithm", (size: number) => `Derive([("out","","${"r:".repeat(size / 2)}","")`],
    ["a hash", (size: number) => `Derive([("out","","sha256","${"0".repeat(size)}")`],
    ["a path", (size: number) => `Derive([("out","/nix/store/${"0".repeat(size)}","","")`],
  ])("that breaks off in %s is refused", async (_, make) => {
    await expectLinear(
      (size) => byteStringFromText(make(size)),
      (text) => {
        expect(() => parseDerivation(dir, "x", text)).toThrow(NixFormatError);
      },
    );
  });

  it("with dynamic inputs of inputs is written back, 64 deep and no deeper", () => {
    const nested = (depth: number): string =>
      whole({
        dynamic: true,
        inputs: `("/nix/store/${hash(1)}-x.drv",${'(["a","b"],[("o",'.repeat(depth)}["out"]${'),("p",["q"])])'.repeat(depth)})`,
      });
    const text = byteStringFromText(nested(64));
    expect(printDerivation(dir, parseDerivation(dir, "x", text))).toBe(text);
    expect(() => parseDerivation(dir, "x", byteStringFromText(nested(65)))).toThrow("deeper than 64");
  });
});
