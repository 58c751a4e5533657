/** Content addresses, and the store paths that follow from contents. */
import { createHash } from "node:crypto";
import { NixFormatError } from "../errors.js";
import { type Hash, type HashAlgorithm, hashBytes, parseHash, printHash } from "./hash.js";
import { encodeNix32 } from "./nix32.js";
import {
  compareStorePaths,
  printStorePath,
  type StoreDir,
  type StorePath,
  storePathNameFault,
} from "./store-path.js";

/** `text`: a flat file with references; `flat`: a single file; `nixArchive`: a tree, hashed as NAR. */
export type ContentAddressMethod = "text" | "flat" | "nixArchive";

export interface ContentAddress {
  readonly method: ContentAddressMethod;
  readonly hash: Hash;
}

export interface ContentAddressMethodAlgorithm {
  readonly method: ContentAddressMethod;
  readonly algorithm: HashAlgorithm;
}

/** `r:`, `text:` or nothing, as in derivations and content addresses. */
export function methodPrefix(method: ContentAddressMethod): string {
  return methodPrefixes[method];
}

const methodPrefixes: Readonly<Record<ContentAddressMethod, string>> = {
  text: "text:",
  flat: "",
  nixArchive: "r:",
};

/** `text:sha256:…`, `fixed:…`, `fixed:r:…`. @throws NixFormatError */
export function parseContentAddress(text: string): ContentAddress {
  if (text.startsWith("text:")) return { method: "text", hash: parseHash(text.slice(5), "sha256") };
  if (text.startsWith("fixed:r:")) return { method: "nixArchive", hash: parseHash(text.slice(8)) };
  if (text.startsWith("fixed:")) return { method: "flat", hash: parseHash(text.slice(6)) };
  throw new NixFormatError(
    "content-address",
    `'${text.slice(0, 200)}' is not a content address: it must begin with text: or fixed:`,
  );
}

export function printContentAddress(ca: ContentAddress): string {
  const kind = ca.method === "text" ? "text:" : `fixed:${methodPrefix(ca.method)}`;
  return kind + printHash(ca.hash, "nix32");
}

/** A store path from its type, the hash of what it stands for, and its name. */
export function makeStorePath(dir: StoreDir, type: string, innerHash: Hash, name: string): StorePath {
  const fault = storePathNameFault(name);
  if (fault !== undefined)
    throw new NixFormatError("store-path", `'${name}' cannot name a store path: ${fault}`);
  const text = `${type}:${printHash(innerHash, "base16")}:${dir}:${name}`;
  const digest = createHash("sha256").update(text, "latin1").digest();
  const folded = new Uint8Array(20);
  digest.forEach((byte, index) => {
    folded[index % 20] = (folded[index % 20] ?? 0) ^ byte;
  });
  return `${encodeNix32(folded)}-${name}` as StorePath;
}

function withReferences(
  dir: StoreDir,
  type: string,
  references: readonly StorePath[],
  self: boolean,
): string {
  const sorted = [...new Set(references)].sort(compareStorePaths);
  return [type, ...sorted.map((path) => printStorePath(dir, path)), ...(self ? ["self"] : [])].join(":");
}

/** Path of a text file in the store (`builtins.toFile`, `.drv` files). */
export function makeTextPath(
  dir: StoreDir,
  name: string,
  contentHash: Hash,
  references: readonly StorePath[],
): StorePath {
  return makeStorePath(dir, withReferences(dir, "text", references, false), contentHash, name);
}

/** Name of the store path of a derivation's output. */
export function outputPathName(derivationName: string, output: string): string {
  return output === "out" ? derivationName : `${derivationName}-${output}`;
}

/**
 * Path of contents with a known address.
 *
 * @param references other paths the contents mention; only `text` and SHA-256 `nixArchive` may have any
 */
export function makeFixedOutputPath(
  dir: StoreDir,
  name: string,
  ca: ContentAddress,
  references: readonly StorePath[] = [],
  selfReference = false,
): StorePath {
  if (ca.method === "text") return makeTextPath(dir, name, ca.hash, references);
  if (ca.method === "nixArchive" && ca.hash.algorithm === "sha256") {
    return makeStorePath(dir, withReferences(dir, "source", references, selfReference), ca.hash, name);
  }
  if (references.length > 0 || selfReference) {
    throw new NixFormatError(
      "content-address",
      `'${name}': this kind of content address allows no references`,
    );
  }
  const inner = `fixed:out:${methodPrefix(ca.method)}${printHash(ca.hash, "base16")}:`;
  return makeStorePath(dir, "output:out", hashBytes("sha256", Buffer.from(inner, "latin1")), name);
}
