/** Content addresses: the known methods, and the well-formed ones of a later Nix. */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type ContentAddress,
  defaultStoreDir,
  makeFixedOutputPath,
  makeHash,
  NixFormatError,
  parseContentAddress,
  printContentAddress,
} from "../../../lib/nix/index.js";
import { parseMethodAlgorithm } from "../../../lib/nix/path/content-address.js";
import { expectLinear } from "../../support/linear.js";

const sizes = { md5: 16, sha1: 20, sha256: 32, sha512: 64, blake3: 32 } as const;
const word = fc.stringMatching(/^[a-z][a-z0-9-]{0,8}$/);
const known: fc.Arbitrary<ContentAddress> = fc
  .tuple(
    fc.constantFrom("flat", "nixArchive", "git"),
    fc.constantFrom("md5", "sha1", "sha256", "sha512", "blake3"),
  )
  .chain(([method, algorithm]) =>
    fc
      .uint8Array({ minLength: sizes[algorithm], maxLength: sizes[algorithm] })
      .map((digest) => ({ method, hash: makeHash(algorithm, digest) })),
  );

describe("content addresses", () => {
  it("of all known methods are printed and read back", () => {
    fc.assert(
      fc.property(known, (ca) => {
        expect(parseContentAddress(printContentAddress(ca))).toEqual(ca);
      }),
    );
  });

  it("name git objects by `git:`", () => {
    const ca = parseContentAddress("fixed:git:sha1:dan5nazz0s2bd2h86f4kgip1ck2ssdnq");
    expect(ca).toMatchObject({ method: "git", hash: { algorithm: "sha1" } });
    expect(printContentAddress(ca)).toBe("fixed:git:sha1:dan5nazz0s2bd2h86f4kgip1ck2ssdnq");
  });

  it("of unknown methods and algorithms are carried as they are written", () => {
    fc.assert(
      fc.property(word, word, fc.stringMatching(/^[0-9a-z+/=]{1,60}$/), (method, algorithm, digest) => {
        fc.pre(parseMethodAlgorithm(`${method}:${algorithm}`) === "foreign");
        for (const text of [`fixed:${method}:${algorithm}:${digest}`, `fixed:sha9:${digest}`]) {
          const ca = parseContentAddress(text);
          expect(ca).toEqual({ method: "foreign", text });
          expect(printContentAddress(ca)).toBe(text);
          expect(() => makeFixedOutputPath(defaultStoreDir, "x", ca)).toThrow(
            expect.objectContaining({ code: "uncheckable" }),
          );
        }
      }),
    );
    expect(parseContentAddress("text:sha9:abc").method).toBe("foreign");
  });

  it.each([
    "",
    "fixed:",
    "fixed:sha256:",
    "fixed:sha256:abc",
    "fixed:foo:sha9:",
    "fixed:foo:sha9:a b",
    "fixed:Foo:sha9:abc",
    "fixed::sha256:abc",
    "fixed:a:b:c:abc",
    "fixed:text:sha256:1b8m03r63zqhnjf7l5wnldhh7c134ap5vpj0850ymkq1iyzicy5s",
    "text:sha1:dan5nazz0s2bd2h86f4kgip1ck2ssdnq",
    "text:r:sha256:1b8m03r63zqhnjf7l5wnldhh7c134ap5vpj0850ymkq1iyzicy5s",
    "other:sha256:1b8m03r63zqhnjf7l5wnldhh7c134ap5vpj0850ymkq1iyzicy5s",
  ])("are refused: %j", (text) => {
    expect(() => parseContentAddress(text)).toThrow(NixFormatError);
  });

  it("are read in linear time, or refused so", async () => {
    const attempt = (text: string): void => {
      expect(() => parseContentAddress(text)).toThrow(NixFormatError);
    };
    await expectLinear((size) => `fixed:${":".repeat(size)}`, attempt);
    await expectLinear((size) => `fixed:${"-".repeat(size)}`, attempt);
    await expectLinear((size) => `fixed:${"a:".repeat(size / 2)}x`, attempt);
    await expectLinear((size) => `fixed:sha256:${"0".repeat(size)}`, attempt);
  });
});
