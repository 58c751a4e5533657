/** Content addresses, and the store paths that follow from contents. */

import { createHash } from "node:crypto";
import { aText, checkArgument, oneOf, someTexts } from "../../argument-checks.js";
import { aContentAddress, aHash } from "../argument-rules.js";
import { NixFormatError } from "../errors.js";
import { type Hash, type HashAlgorithm, hashBytes, isHashAlgorithm, parseHash, printHash } from "./hash.js";
import { encodeNix32 } from "./nix32.js";
import {
  compareStorePaths,
  printStorePath,
  type StoreDir,
  type StorePath,
  storePathNameFault,
} from "./store-path.js";

/**
 * What is hashed. `text`: a flat file with references; `flat`: a single file; `nixArchive`: a tree, hashed as NAR;
 * `git`: a tree, hashed as git objects.
 */
export type ContentAddressMethod = "text" | "flat" | "nixArchive" | "git";

/** A content address that can be computed with. */
export interface KnownContentAddress {
  readonly method: ContentAddressMethod;
  readonly hash: Hash;
}

/** A well-formed address whose method or hash algorithm is not known here: of a later Nix. It is carried as written. */
export interface ForeignContentAddress {
  readonly method: "foreign";
  /** The whole address, such as `fixed:new:sha9:…`. */
  readonly text: string;
}

/** How the contents of a store path are addressed, and their hash. */
export type ContentAddress = KnownContentAddress | ForeignContentAddress;

const methodPrefixes: Readonly<Record<ContentAddressMethod, string>> = {
  text: "text:",
  flat: "",
  nixArchive: "r:",
  git: "git:",
};

const aMethod = oneOf(Object.keys(methodPrefixes));

/** `r:`, `text:`, `git:` or nothing, as in derivations and content addresses. */
export function methodPrefix(method: ContentAddressMethod): string {
  checkArgument("methodPrefix", "method", method, aMethod);
  return methodPrefixes[method];
}

/** How the contents of an output are hashed; the hash is not known yet. */
export interface ContentAddressMethodAlgorithm {
  readonly method: ContentAddressMethod;
  readonly algorithm: HashAlgorithm;
}

/** Words of a method or an algorithm, as Nix names them; of any length that is still a name. */
const methodWord = /^[a-z0-9][a-z0-9-]{0,63}$/;

/** What nearly all derivations have. */
const usual: ReadonlyMap<string, ContentAddressMethodAlgorithm> = new Map([
  ["sha256", { method: "flat", algorithm: "sha256" }],
  ["r:sha256", { method: "nixArchive", algorithm: "sha256" }],
]);

/**
 * Reads `sha256`, `r:sha256`, `text:sha256`, `git:sha1`. A well-formed text with an unknown word, such as `new:sha9`,
 * is `foreign`; undefined is anything else.
 */
export function parseMethodAlgorithm(text: string): ContentAddressMethodAlgorithm | "foreign" | undefined {
  const known = usual.get(text);
  if (known !== undefined) return known;
  const words = text.split(":", 3);
  if (words.length > 2 || !words.every((word) => methodWord.test(word))) return undefined;
  const name = words.at(-1) ?? "";
  const prefix = words.length === 1 ? "" : `${words[0]}:`;
  const method = (["flat", "nixArchive", "text", "git"] as const).find(
    (each) => methodPrefixes[each] === prefix,
  );
  if (method === undefined || !isHashAlgorithm(name)) return "foreign";
  return { method, algorithm: name };
}

/**
 * Reads `text:sha256:…`, `fixed:sha256:…`, `fixed:r:sha256:…`, `fixed:git:sha1:…`. An address with another method or
 * algorithm is `foreign`.
 * @throws NixFormatError `content-address`, or `hash` for a hash that its algorithm does not have
 */
export function parseContentAddress(text: string): ContentAddress {
  checkArgument("parseContentAddress", "text", text, aText);
  const fault = (): NixFormatError =>
    new NixFormatError(
      "content-address",
      `'${text.slice(0, 200)}' is not a content address: it must begin with text: or fixed:`,
    );
  const isText = text.startsWith("text:");
  if (!isText && !text.startsWith("fixed:")) throw fault();
  const { head, digest, sri } = splitAddress(isText ? text : text.slice("fixed:".length));
  const found = parseMethodAlgorithm(head);
  if (found === undefined || !/^[A-Za-z0-9+/=-]{1,1000}$/.test(digest)) throw fault();
  if (found === "foreign") return { method: "foreign", text };
  const { method, algorithm } = found;
  if ((method === "text") !== isText || (isText && algorithm !== "sha256")) throw fault();
  return { method, hash: sri ? parseHash(`${algorithm}-${digest}`) : parseHash(digest, algorithm) };
}

/** Divides `r:sha256:<digest>` behind its last colon, and `r:sha256-<digest>` (SRI) behind the algorithm. */
function splitAddress(body: string): {
  readonly head: string;
  readonly digest: string;
  readonly sri: boolean;
} {
  const colon = body.lastIndexOf(":");
  const dash = body.indexOf("-", colon + 1);
  const sri = dash >= 0 && isHashAlgorithm(body.slice(colon + 1, dash));
  const end = sri ? dash : Math.max(0, colon);
  return { head: body.slice(0, end), digest: body.slice(end + 1), sri };
}

/** The text of an address, hashes in base 32: what `parseContentAddress` reads. */
export function printContentAddress(ca: ContentAddress): string {
  checkArgument("printContentAddress", "ca", ca, aContentAddress);
  if (ca.method === "foreign") return ca.text;
  const kind = ca.method === "text" ? "text:" : `fixed:${methodPrefix(ca.method)}`;
  return kind + printHash(ca.hash, "nix32");
}

/** The error of a check that cannot be made, because the method or algorithm of an address is not known here. */
function uncheckable(text: string): NixFormatError {
  return new NixFormatError(
    "uncheckable",
    `the content address '${text.slice(0, 200)}' cannot be checked: its hash method or algorithm is not known here`,
  );
}

/**
 * A store path from its type, the hash of what it stands for, and its name.
 * @throws NixFormatError `store-path` when the name cannot name a store path
 */
export function makeStorePath(dir: StoreDir, type: string, innerHash: Hash, name: string): StorePath {
  checkArgument("makeStorePath", "dir", dir, aText);
  checkArgument("makeStorePath", "type", type, aText);
  checkArgument("makeStorePath", "innerHash", innerHash, aHash);
  const fault = storePathNameFault(name);
  if (fault !== undefined)
    throw new NixFormatError("store-path", `'${name}' cannot name a store path: ${fault}`);
  const text = `${type}:${printHash(innerHash, "base16")}:${dir}:${name}`;
  const digest = createHash("sha256").update(text, "latin1").digest();
  const folded = new Uint8Array(20);
  for (let index = 0; index < digest.length; index++) {
    folded[index % 20] = (folded[index % 20] ?? 0) ^ (digest[index] ?? 0);
  }
  return `${encodeNix32(folded)}-${name}` as StorePath;
}

function withReferences(
  dir: StoreDir,
  type: string,
  references: readonly StorePath[],
  self: boolean,
): string {
  // The usual case.
  if (references.length === 0) return self ? `${type}:self` : type;
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
  checkArgument("makeTextPath", "dir", dir, aText);
  checkArgument("makeTextPath", "contentHash", contentHash, aHash);
  checkArgument("makeTextPath", "references", references, someTexts);
  return makeStorePath(dir, withReferences(dir, "text", references, false), contentHash, name);
}

/** Name of the store path of a derivation's output. */
export function outputPathName(derivationName: string, output: string): string {
  checkArgument("outputPathName", "derivationName", derivationName, aText);
  checkArgument("outputPathName", "output", output, aText);
  return output === "out" ? derivationName : `${derivationName}-${output}`;
}

/**
 * Path of contents with a known address.
 *
 * @param references other paths the contents mention; only `text` and SHA-256 `nixArchive` may have any
 * @throws NixFormatError `uncheckable` for a foreign address, `content-address` for references where none are allowed,
 *   `store-path` for an unusable name
 */
export function makeFixedOutputPath(
  dir: StoreDir,
  name: string,
  ca: ContentAddress,
  references: readonly StorePath[] = [],
  selfReference = false,
): StorePath {
  checkArgument("makeFixedOutputPath", "dir", dir, aText);
  checkArgument("makeFixedOutputPath", "ca", ca, aContentAddress);
  checkArgument("makeFixedOutputPath", "references", references, someTexts);
  if (ca.method === "foreign") throw uncheckable(ca.text);
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
