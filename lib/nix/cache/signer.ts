/** Signatures of store paths: ed25519 over a fingerprint, keys named as in `nix-store --generate-binary-cache-key`. */

import { createPrivateKey, createPublicKey, generateKeyPairSync, KeyObject, sign, verify } from "node:crypto";
import { readFile } from "node:fs/promises";
import {
  aList,
  anAmount,
  aText,
  checkArgument,
  checkMade,
  checkMembers,
  someTexts,
} from "../../argument-checks.js";
import { UsageError } from "../../errors.js";
import { aHash } from "../argument-rules.js";
import { NixFormatError } from "../errors.js";
import { printHash } from "../path/hash.js";
import { compareStorePaths, printStorePath, type StoreDir } from "../path/store-path.js";
import type { ValidPathInfo } from "../store/path-info.js";

/** DER in front of the 32 raw bytes of a private, and of a public, ed25519 key. */
const privatePrefix = Buffer.from("302e020100300506032b657004220420", "hex");
const publicPrefix = Buffer.from("302a300506032b6570032100", "hex");

function splitKey(
  text: string,
  what: string,
  size: number,
): { readonly name: string; readonly bytes: Buffer } {
  checkArgument(`a ${what}`, "its text", text, aText);
  const trimmed = text.trim();
  const colon = trimmed.indexOf(":");
  const name = trimmed.slice(0, Math.max(0, colon));
  if (name === "" || /\s/.test(name)) {
    throw new NixFormatError("signature", `a ${what} must be '<name>:<base64>'`);
  }
  const base64 = trimmed.slice(colon + 1);
  const bytes = Buffer.from(base64, "base64");
  if (bytes.length !== size || bytes.toString("base64") !== base64) {
    throw new NixFormatError("signature", `the ${what} '${name}' must hold ${size} bytes in base64`);
  }
  return { name, bytes };
}

function publicKeyObject(raw: Uint8Array): KeyObject {
  return createPublicKey({ key: Buffer.concat([publicPrefix, raw]), format: "der", type: "spki" });
}

/**
 * A new secret key as `nix-store --generate-binary-cache-key` writes it, for `Signer.parse`. `name` is what the key is
 * known by, usually `<host>-<number>`.
 *
 * @throws NixFormatError for a name that is empty or holds white space or a colon
 */
export function generateSecretKey(name: string): string {
  checkArgument("generateSecretKey", "argument 'name'", name, aText);
  if (name === "" || /[\s:]/.test(name))
    throw new NixFormatError("signature", "the name of a key must be a word without a colon");
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const seed = privateKey.export({ format: "der", type: "pkcs8" }).subarray(-32);
  const half = publicKey.export({ format: "der", type: "spki" }).subarray(-32);
  return `${name}:${Buffer.concat([seed, half]).toString("base64")}`;
}

/** The text that a signature covers. */
export function pathFingerprint(
  dir: StoreDir,
  info: Pick<ValidPathInfo, "path" | "narHash" | "narSize" | "references">,
): string {
  checkArgument("pathFingerprint", "dir", dir, aText);
  checkMembers("pathFingerprint", info, {
    path: aText,
    narHash: aHash,
    narSize: anAmount,
    references: someTexts,
  });
  const references = [...info.references].sort(compareStorePaths).map((path) => printStorePath(dir, path));
  const path = printStorePath(dir, info.path);
  return `1;${path};${printHash(info.narHash, "nix32")};${info.narSize};${references.join(",")}`;
}

/** A secret ed25519 key that signs store paths and realisations. */
export class Signer {
  readonly keyName: string;
  /** `<name>:<base64 of 32 bytes>`, as `trusted-public-keys` wants it. */
  readonly publicKey: string;
  readonly #key: KeyObject;

  private constructor(keyName: string, publicKey: string, key: KeyObject) {
    checkMade("Signer", "Signer.parse() or Signer.fromFile()", key instanceof KeyObject);
    this.keyName = keyName;
    this.publicKey = publicKey;
    this.#key = key;
  }

  /**
   * Reads `<name>:<base64 of 32 bytes seed and 32 bytes public key>`; white space around it does not matter.
   *
   * @throws NixFormatError; the message never holds key material
   */
  static parse(text: string): Signer {
    const { name, bytes } = splitKey(text, "secret key", 64);
    const seed = bytes.subarray(0, 32);
    const key = createPrivateKey({ key: Buffer.concat([privatePrefix, seed]), format: "der", type: "pkcs8" });
    const derived = createPublicKey(key).export({ format: "der", type: "spki" }).subarray(-32);
    if (!derived.equals(bytes.subarray(32))) {
      throw new NixFormatError("signature", `the halves of the secret key '${name}' do not belong together`);
    }
    return new Signer(name, `${name}:${derived.toString("base64")}`, key);
  }

  /** @throws UsageError (`secret-file`) naming the file when it cannot be read or holds no key */
  static async fromFile(path: string): Promise<Signer> {
    checkArgument("Signer", "the path of the key file", path, aText);
    try {
      return Signer.parse(await readFile(path, "utf8"));
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new UsageError(`signing key file ${path} cannot be used: ${why}`, { code: "secret-file", cause });
    }
  }

  /** `<key name>:<base64>` over the UTF-8 bytes of `text`. */
  sign(text: string): string {
    checkArgument("Signer.sign", "argument 'text'", text, aText);
    return `${this.keyName}:${sign(undefined, Buffer.from(text), this.#key).toString("base64")}`;
  }

  /** What is known of a path, with a signature of this key besides those it has. */
  signPath<Info extends ValidPathInfo>(dir: StoreDir, info: Info): Info {
    checkMembers("Signer.signPath", info, { signatures: someTexts });
    return { ...info, signatures: [...info.signatures, this.sign(pathFingerprint(dir, info))] };
  }
}

/** A key that signatures are checked against. */
export class PublicKey {
  readonly name: string;
  readonly #key: KeyObject;

  private constructor(name: string, key: KeyObject) {
    checkMade("PublicKey", "PublicKey.parse()", key instanceof KeyObject);
    this.name = name;
    this.#key = key;
  }

  /** Reads `<name>:<base64 of 32 bytes>`. @throws NixFormatError */
  static parse(text: string): PublicKey {
    const { name, bytes } = splitKey(text, "public key", 32);
    return new PublicKey(name, publicKeyObject(bytes));
  }

  /** Whether `signature` (`<name>:<base64>`) is this key's over `text`. */
  verifies(text: string, signature: string): boolean {
    checkArgument("PublicKey.verifies", "text", text, aText);
    checkArgument("PublicKey.verifies", "signature", signature, aText);
    const colon = signature.indexOf(":");
    if (signature.slice(0, Math.max(0, colon)) !== this.name) return false;
    const bytes = Buffer.from(signature.slice(colon + 1), "base64");
    return bytes.length === 64 && verify(undefined, Buffer.from(text), this.#key, bytes);
  }
}

/** Signatures by keys of the wanted names that are checked; each costs a hash of the whole fingerprint. */
const mostChecked = 32;

/**
 * Whether any of the signatures of `info` is by one of `keys`. Of the signatures that bear the name of a key the first
 * 32 different ones count.
 */
export function verifySignature(dir: StoreDir, info: ValidPathInfo, keys: readonly PublicKey[]): boolean {
  checkArgument("verifySignature", "dir", dir, aText);
  checkMembers("verifySignature", info, { signatures: aList });
  checkArgument("verifySignature", "keys", keys, aList);
  const names = new Set(keys.map((key) => key.name));
  const candidates = new Set<string>();
  for (const signature of info.signatures) {
    if (candidates.size >= mostChecked) break;
    if (names.has(signature.slice(0, Math.max(0, signature.indexOf(":"))))) candidates.add(signature);
  }
  if (candidates.size === 0) return false;
  const fingerprint = pathFingerprint(dir, info);
  return [...candidates].some((signature) => keys.some((key) => key.verifies(fingerprint, signature)));
}
