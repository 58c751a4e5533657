/** Hashes: published texts, every encoding, and what is refused. */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodeNix32, encodeNix32, NixFormatError, parseHash, printHash } from "../../../lib/nix/index.js";
import { hashBytes } from "../../../lib/nix/path/hash.js";

describe("hashes", () => {
  it("prints the published texts of the empty SHA-256", () => {
    const empty = parseHash("sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    expect(printHash(empty, "nix32")).toBe("sha256:0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73");
    expect(printHash(empty, "sri")).toBe("sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    expect(printHash(parseHash("143xibwh31h9bvxzalr0sjvbbvpa6ffs", "sha1"), "base16", false)).toBe(
      "da39a3ee5e6b4b0d3255bfef95601890afd80709",
    );
  });

  it("reads back every encoding of every digest", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 32, maxLength: 32 }),
        fc.constantFrom("nix32" as const, "base16" as const, "base64" as const, "sri" as const),
        (digest, encoding) => {
          const text = printHash({ algorithm: "sha256", digest }, encoding);
          expect(Buffer.from(parseHash(text).digest)).toEqual(Buffer.from(digest));
        },
      ),
    );
  });

  it("round-trips base 32 of any length and refuses surplus bits", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        expect(Buffer.from(decodeNix32(encodeNix32(bytes)))).toEqual(Buffer.from(bytes));
      }),
    );
    expect(() => decodeNix32("zz")).toThrow(NixFormatError);
    expect(() => decodeNix32("e0")).toThrow(/not a base-32 digit/);
  });
});

describe("hashes of `abc`", () => {
  it("have the published texts of `abc`", () => {
    const hash = hashBytes("sha256", Buffer.from("abc"));
    const base16 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    expect(printHash(hash, "base16")).toBe(`sha256:${base16}`);
    expect(printHash(hash, "nix32", false)).toBe("1b8m03r63zqhnjf7l5wnldhh7c134ap5vpj0850ymkq1iyzicy5s");
    expect(printHash(hash, "sri")).toBe("sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=");
    for (const encoding of ["base16", "nix32", "base64", "sri"] as const)
      expect(parseHash(printHash(hash, encoding))).toEqual(hash);
  });

  it("are refused in an encoding of the wrong length, or of the wrong kind", () => {
    expect(() => parseHash("sha256:abcd")).toThrow("sha256");
    expect(() => parseHash("abcd")).toThrow("algorithm");
    expect(() => parseHash(printHash(hashBytes("sha1", Buffer.alloc(0)), "base16"), "sha256")).toThrow(
      "sha256",
    );
  });
});
