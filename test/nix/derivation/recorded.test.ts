/** Derivations of the recordings: written back, paths computed, mutations refused. */
import { readFileSync } from "node:fs";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type DerivationModulo,
  hashDerivationModulo,
  makeOutputPath,
} from "../../../lib/nix/derivation/paths.js";
import {
  computeDerivationPath,
  type Derivation,
  defaultStoreDir,
  derivationOutputPath,
  NixFormatError,
  parseDerivation,
  parseFullStorePath,
  printDerivation,
  type StorePath,
} from "../../../lib/nix/index.js";
import { type ByteString, byteStringFromText } from "../../../lib/nix/path/byte-string.js";

const dir = defaultStoreDir;

describe("derivations of the recordings", () => {
  const cases = JSON.parse(readFileSync("test/fixtures/observed/cases.json", "utf8")) as {
    readonly derivations?: Record<string, string>;
  }[];
  const texts = new Map(
    cases.flatMap((entry) =>
      Object.entries(entry.derivations ?? {}).map(
        ([path, text]) => [parseFullStorePath(dir, path), text] as const,
      ),
    ),
  );
  const parsed = new Map(
    [...texts].map(([path, text]) => [
      path,
      parseDerivation(dir, path.slice(33, -".drv".length), byteStringFromText(text)),
    ]),
  );

  it("are written back byte for byte, and their own path follows from the text", () => {
    expect(parsed.size).toBeGreaterThan(15);
    for (const [path, derivation] of parsed) {
      expect(printDerivation(dir, derivation)).toBe(byteStringFromText(texts.get(path) ?? ""));
      expect(computeDerivationPath(dir, derivation)).toBe(path);
    }
  });

  it("have the output paths that follow from their inputs", () => {
    const complete = (drv: Derivation): boolean =>
      [...drv.inputDerivations.keys()].every((input) => {
        const found = parsed.get(input);
        return found !== undefined && complete(found);
      });
    const modulo = (path: StorePath): DerivationModulo => {
      const found = parsed.get(path);
      if (found === undefined) throw new Error(`no ${path}`);
      return hashDerivationModulo(dir, found, modulo, false);
    };
    let checked = 0;
    for (const derivation of parsed.values()) {
      if (!complete(derivation)) continue;
      const hash = hashDerivationModulo(dir, derivation, modulo, true);
      for (const [name, output] of derivation.outputs) {
        if (output.kind !== "inputAddressed" || hash.kind !== "regular") continue;
        expect(makeOutputPath(dir, hash.hash, derivation.name, name)).toBe(output.path);
        expect(derivationOutputPath(dir, derivation, name)).toBe(output.path);
        checked++;
      }
    }
    expect(checked).toBeGreaterThan(10);
  });

  it("survive no mutation unnoticed: a parser error, or a text that is written back as it is", () => {
    const sample = byteStringFromText([...texts.values()].at(0) ?? "");
    fc.assert(
      fc.property(fc.nat(sample.length - 1), fc.nat(255), (position, byte) => {
        const mutated = (sample.slice(0, position) +
          String.fromCharCode(byte) +
          sample.slice(position + 1)) as ByteString;
        let derivation: Derivation;
        try {
          derivation = parseDerivation(dir, "hello", mutated);
        } catch (error) {
          expect(error).toBeInstanceOf(NixFormatError);
          return;
        }
        const sorted = parseDerivation(dir, "hello", printDerivation(dir, derivation));
        expect(sorted).toEqual(derivation);
      }),
      { numRuns: 500 },
    );
    for (let length = 0; length < sample.length; length++) {
      expect(() => parseDerivation(dir, "hello", sample.slice(0, length) as ByteString)).toThrow(
        NixFormatError,
      );
    }
  });
});
