/** The worst texts of binary caches take time linear in their length. */
import { describe, expect, it } from "vitest";
import {
  defaultStoreDir,
  NixFormatError,
  PublicKey,
  parseBuildTrace,
  parseHash,
  parseNarInfo,
  parseRealisation,
  printNarInfo,
  Signer,
  verifySignature,
} from "../../../lib/nix/index.js";
import { expectLinear } from "../../support/linear.js";

const dir = defaultStoreDir;
const path = `${"1".repeat(32)}-x`;
const publicKey = "test.example.org-1:A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=";
const head = `StorePath: /nix/store/${path}
URL: nar/x.nar
Compression: none
NarHash: sha256:1vv1jivvb46l47q5xkbjv7imznqj3dl9c1m740863jjlpxb05l9r
NarSize: 2384
`;
const repeat = (text: string) => (size: number) => text.repeat(Math.ceil(size / text.length));
const references = (size: number): string =>
  Array.from({ length: size / 36 }, (_, index) => `${String(index).padStart(32, "0")}-x`).join(" ");

describe("a narinfo", () => {
  it.each([
    ["of many signatures", (size: number) => head + repeat("Sig: a:AAAA\n")(size)],
    ["of many references", (size: number) => `${head}References: ${references(size)}\n`],
    ["of many blanks", (size: number) => `${head}References: ${" ".repeat(size)}\n`],
    ["of many unknown keys", (size: number) => head + repeat("K: v\n")(size)],
    ["of empty lines", (size: number) => head + "\n".repeat(size)],
  ])("%s is read and printed", async (_, make) => {
    await expectLinear(make, (text) => printNarInfo(dir, parseNarInfo(dir, text)));
  });

  it.each([
    ["a size of digits", (size: number) => `${head}FileSize: ${"1".repeat(size)}\n`],
    ["a hash", (size: number) => `${head}FileHash: sha256:${"A".repeat(size)}=\n`],
    ["a path", (size: number) => `${head}References: ${"0".repeat(size)}\n`],
    ["an address", (size: number) => `${head}CA: fixed:${"r:".repeat(size / 2)}x\n`],
    ["no separator", (size: number) => `${head}${"x".repeat(size)}\n`],
  ])("with %s is refused", async (_, make) => {
    await expectLinear(make, (text) => {
      expect(() => parseNarInfo(dir, text)).toThrow(NixFormatError);
    });
  });

  it("with many forged signatures and references is checked", async () => {
    const forged = `Sig: test.example.org-1:${"A".repeat(86)}==\n`;
    const make = (size: number) =>
      parseNarInfo(
        dir,
        `${head}References: ${references(size / 2)}\n${Array.from({ length: size / 240 }, (_, index) => forged.replace("AAAAA", String(index).padStart(5, "0"))).join("")}`,
      );
    await expectLinear(make, (info) => {
      expect(verifySignature(dir, info, [PublicKey.parse(publicKey)])).toBe(false);
    });
  });
});

describe("other texts", () => {
  it.each<[string, (size: number) => string, (text: string) => unknown]>([
    ["a realisation of brackets", repeat("["), parseRealisation],
    ["a realisation of nested objects", repeat('{"key":'), parseRealisation],
    ["a signature", (size) => `{"outPath":"${path}","signatures":["${"a".repeat(size)}"]}`, parseBuildTrace],
    [
      "an output name",
      (size) => `{"key":{"drvPath":"${path}","outputName":"${"a".repeat(size)}"}}`,
      parseRealisation,
    ],
    ["a secret key", repeat("a "), (text) => Signer.parse(text)],
    ["a public key", (size) => `k:${"A".repeat(size)}`, (text) => PublicKey.parse(text)],
    ["a hash", (size) => `sha256-${"A".repeat(size)}`, parseHash],
  ])("%s is refused", async (_, make, parse) => {
    await expectLinear(make, (text) => {
      expect(() => parse(text)).toThrow(NixFormatError);
    });
  });

  it("a build trace of many signatures is read", async () => {
    const make = (size: number): string =>
      `{"outPath":"${path}","signatures":[${Array.from({ length: size / 8 }, () => '"a:b"').join(",")}]}`;
    await expectLinear(make, parseBuildTrace);
  });
});
