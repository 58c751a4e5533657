/** Outputs by git hashes, by methods of a later Nix, and impure ones. */
import { Readable } from "node:stream";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { WireReader } from "../../../lib/nix/daemon/protocol/reader.js";
import { writeBasicDerivation } from "../../../lib/nix/daemon/protocol/values.js";
import { WireWriter } from "../../../lib/nix/daemon/protocol/writer.js";
import { hashDerivationModulo } from "../../../lib/nix/derivation/paths.js";
import {
  type BasicDerivation,
  byteStringFromText,
  type Derivation,
  defaultStoreDir,
  derivationOutputPath,
  isImpure,
  parseDerivation,
  printDerivation,
} from "../../../lib/nix/index.js";

const dir = defaultStoreDir;
const text = (outputs: string) =>
  byteStringFromText(`Derive([${outputs}],[],[],"x86_64-linux","/bin/sh",[],[("name","x")])`);
const parse = (outputs: string): Derivation => parseDerivation(dir, "x", text(outputs));

/** The outputs as a daemon gets them: name, path, method, hash. */
async function onTheWire(drv: BasicDerivation): Promise<string[][]> {
  const writer = new WireWriter();
  writeBasicDerivation(writer, { storeDir: dir, minor: 38, realisationWithPath: false }, drv);
  const chunks = Readable.from([writer.take()])[Symbol.asyncIterator]();
  const reader = new WireReader({
    read: async (): Promise<Uint8Array | undefined> => (await chunks.next()).value as Uint8Array | undefined,
  });
  const field = async (): Promise<string> => await reader.text();
  return reader.list(async () => [await field(), await field(), await field(), await field()]);
}

describe("outputs addressed by git objects", () => {
  it("with a promised hash have a path of their own", () => {
    const floating = parse('("out","","git:sha1","")');
    expect(floating.outputs.get("out")).toEqual({ kind: "caFloating", method: "git", algorithm: "sha1" });
    const hash = "b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0";
    const wrong = `("out","/nix/store/${"1".repeat(32)}-x","git:sha1","${hash}")`;
    // The fault names the path that it should be.
    const expected = /should be (\S+)/.exec(messageOf(() => parse(wrong)))?.[1];
    const fixed = parse(`("out","${expected}","git:sha1","${hash}")`);
    expect(fixed.outputs.get("out")).toMatchObject({ kind: "caFixed", ca: { method: "git" } });
    expect(`/nix/store/${derivationOutputPath(dir, fixed, "out")}`).toBe(expected);
    expect(hashDerivationModulo(dir, fixed, unexpected, false).kind).toBe("fixed");
  });
});

describe("outputs by methods of a later Nix", () => {
  const path = `/nix/store/${"1".repeat(32)}-x`;
  const word = fc.stringMatching(/^[a-z][a-z0-9-]{0,8}$/).map((each) => `q${each}`);
  const cases = fc
    .tuple(fc.option(word), word, fc.constantFrom("", "impure", "0a1b"))
    .map(([method, algorithm, hash]) => ({
      method: `${method === null ? "" : `${method}:`}${algorithm}`,
      hash,
      path: hash === "0a1b" ? path : "",
    }));

  it("are written back byte for byte, to files and to daemons", async () => {
    await fc.assert(
      fc.asyncProperty(cases, async ({ method, hash, path: where }) => {
        const outputs = `("out","${where}","${method}","${hash}")`;
        const drv = parse(outputs);
        expect(printDerivation(dir, drv)).toBe(text(outputs));
        expect(await onTheWire(drv)).toEqual([["out", where, method, hash]]);
        expect(isImpure(drv)).toBe(hash === "impure");
        const kind = hash === "0a1b" ? "fixed" : "deferred";
        expect(hashDerivationModulo(dir, drv, unexpected, false).kind).toBe(kind);
      }),
    );
  });

  it.each([
    ['("out","","New:sha9","")', "malformed hash algorithm"],
    ['("out","","a:b:c","")', "malformed hash algorithm"],
    ['("out","","new:","")', "malformed hash algorithm"],
    [`("out","${path}","new:sha9","")`, "cannot have a path"],
    [`("out","${path}","new:sha9","a b")`, "hash of an output is malformed"],
    [`("out","","new:sha9","0a")`, "not a path in the store"],
    [`("out","${path}-y","new:sha9","0a")`, "should be named x"],
    ['("out","","text:sha1","")', "SHA-256"],
  ])("are refused when they are malformed: %s", (outputs, fault) => {
    expect(messageOf(() => parse(outputs))).toContain(fault);
  });
});

describe("impure derivations", () => {
  it.each([
    ['("out","","r:sha256","impure")', true],
    ['("a","","r:sha256","impure"),("b","","r:sha256","impure")', true],
    ['("out","","r:sha256","")', false],
    ['("out","","","")', false],
    [`("out","/nix/store/${"1".repeat(32)}-x","","")`, false],
  ])("are told by their outputs: %s", (outputs, impure) => {
    expect(isImpure(parse(outputs))).toBe(impure);
  });
});

function unexpected(): never {
  throw new Error("there are no inputs");
}

function messageOf(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  throw new Error("nothing was thrown");
}
