/** Outputs that are larger than their orders allow are refused by their declared size. */
import { describe, expect, it } from "vitest";
import { parseStorePath, type StorePath } from "../../../../lib/nix/path/store-path.js";
import type { ValidPathInfo } from "../../../../lib/nix/store/path-info.js";
import { refuseTooLarge } from "../../../../lib/runner/outputs/arriving/output-limits.js";
import { pathInfo } from "../../../support/path-info.js";
import { simpleAttempt } from "../../../support/recording.js";

const attempt = simpleAttempt(1, "hello");
const out = attempt.facts.outputs.get("out") as StorePath;

function info(path: StorePath, narSize: number): ValidPathInfo {
  return pathInfo(path, Buffer.of(), { narSize });
}

const limited = (maxOutputSize: number, outputs = attempt.facts.outputs) => ({
  facts: { ...attempt.facts, outputs },
  limits: { maxLogSize: 0, maxOutputSize },
});
const tooLarge = { code: "out-of-range", message: expect.stringContaining(`${out} has 201 bytes`) };

describe("an output", () => {
  it("is taken up to the limit of its attempt, and refused beyond", () => {
    expect(() => refuseTooLarge(info(out, 200), [limited(200)])).not.toThrow();
    expect(() => refuseTooLarge(info(out, 201), [limited(200)])).toThrow(expect.objectContaining(tooLarge));
  });

  it("has no limit when its order has none, and other paths have none", () => {
    expect(() => refuseTooLarge(info(out, 2 ** 50), [limited(0)])).not.toThrow();
    const input = parseStorePath("00000000000000000000000000000009-input");
    expect(() => refuseTooLarge(info(input, 201), [limited(200)])).not.toThrow();
  });

  it("whose path only the build can tell is known by its name", () => {
    const floating = limited(200, new Map([["out", undefined]]));
    expect(() => refuseTooLarge(info(out, 201), [floating])).toThrow(expect.objectContaining(tooLarge));
  });
});
