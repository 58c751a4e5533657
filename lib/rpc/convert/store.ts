/** `nix.store.v1`: store paths, hashes, content addresses, path infos, narinfos. */
import { create } from "@bufbuild/protobuf";
import type { NarInfo } from "../../nix/cache/nar-info.js";
import {
  type ContentAddress,
  type ContentAddressMethod,
  type KnownContentAddress,
  parseContentAddress,
  printContentAddress,
} from "../../nix/path/content-address.js";
import type { Hash, HashAlgorithm } from "../../nix/path/hash.js";
import {
  compareStorePaths,
  parseStorePath,
  type StoreDir,
  type StorePath,
} from "../../nix/path/store-path.js";
import type { ValidPathInfo } from "../../nix/store/path-info.js";
import * as wire from "../gen/nix/store/v1/store_pb.js";
import { bad, inField, present, required, toBigint, toNumber } from "./scalars.js";

// ── Store paths ────────────────────────────────────────────────────────────────────────────────────────────────

/** A store path from its base name. @throws RpcError `invalid-argument` naming the field */
export function storePathText(text: string, field: string): StorePath {
  return inField(field, () => parseStorePath(text));
}

/** A store path. @throws RpcError `invalid-argument` naming the field */
export function storePathFromWire(message: wire.StorePath | undefined, field: string): StorePath {
  return storePathText(required(message, field).path, field);
}

/** A store path as its message. */
export function storePathToWire(path: StorePath): wire.StorePath {
  return create(wire.StorePathSchema, { path });
}

/** Store paths. @throws RpcError `invalid-argument` naming the field and index */
export function storePathsFromWire(messages: readonly wire.StorePath[], field: string): StorePath[] {
  return messages.map((message, index) => storePathText(message.path, `${field}[${index}]`));
}

// ── Hashes ─────────────────────────────────────────────────────────────────────────────────────────────────────

const algorithms: readonly {
  readonly name: HashAlgorithm;
  readonly wire: wire.Hash_Algorithm;
  readonly size: number;
}[] = [
  { name: "sha256", wire: wire.Hash_Algorithm.SHA256, size: 32 },
  { name: "sha512", wire: wire.Hash_Algorithm.SHA512, size: 64 },
  { name: "sha1", wire: wire.Hash_Algorithm.SHA1, size: 20 },
  { name: "md5", wire: wire.Hash_Algorithm.MD5, size: 16 },
  { name: "blake3", wire: wire.Hash_Algorithm.BLAKE3, size: 32 },
];

/** The name of a hash algorithm. @throws RpcError `invalid-argument` for a number that is not known */
export function algorithmFromWire(value: wire.Hash_Algorithm, field: string): HashAlgorithm {
  const known = algorithms.find((entry) => entry.wire === value);
  if (known === undefined) throw bad(field, `unknown hash algorithm ${value}`);
  return known.name;
}

/**
 * The number of a hash algorithm. @throws RpcError `invalid-argument` for one that the wire has no number for
 */
export function algorithmToWire(name: HashAlgorithm, field: string): wire.Hash_Algorithm {
  const known = algorithms.find((entry) => entry.name === name);
  if (known === undefined) throw bad(field, `hash algorithm ${name} has no place on the wire`);
  return known.wire;
}

/** A hash. @throws RpcError `invalid-argument` for a digest of the wrong length */
export function hashFromWire(message: wire.Hash | undefined, field: string): Hash {
  const { algorithm: number, digest } = required(message, field);
  const algorithm = algorithmFromWire(number, `${field}.algorithm`);
  const size = algorithms.find((entry) => entry.name === algorithm)?.size;
  if (digest.length !== size) {
    throw bad(`${field}.digest`, `${digest.length} bytes where ${algorithm} has ${size}`);
  }
  return { algorithm, digest };
}

/** A hash as its message. */
export function hashToWire(hash: Hash, field: string): wire.Hash {
  return create(wire.HashSchema, {
    algorithm: algorithmToWire(hash.algorithm, field),
    digest: bytes(hash.digest),
  });
}

/** Generated types ask for bytes over a plain buffer; nothing is copied unless the buffer is shared. */
export function bytes(data: Uint8Array): Uint8Array<ArrayBuffer> {
  if (data.buffer instanceof ArrayBuffer) return data as Uint8Array<ArrayBuffer>;
  return new Uint8Array(data);
}

/** Nar hashes are always SHA-256. */
export function narHashFromWire(message: wire.Hash | undefined, field: string): Hash {
  const hash = hashFromWire(message, field);
  if (hash.algorithm !== "sha256") throw bad(field, `is ${hash.algorithm}, not sha256`);
  return hash;
}

// ── Content addresses ──────────────────────────────────────────────────────────────────────────────────────────

/** How a path is content-addressed. @throws RpcError `invalid-argument` for a number that is not known */
export function methodFromWire(value: wire.ContentAddress_Method, field: string): ContentAddressMethod {
  switch (value) {
    case wire.ContentAddress_Method.TEXT:
      return "text";
    case wire.ContentAddress_Method.FLAT:
      return "flat";
    case wire.ContentAddress_Method.NIX_ARCHIVE:
      return "nixArchive";
    case wire.ContentAddress_Method.GIT:
      return "git";
    default:
      throw bad(field, `unknown content address method ${String(value)}`);
  }
}

/** The number of a content-addressing method. */
export function methodToWire(method: ContentAddressMethod): wire.ContentAddress_Method {
  switch (method) {
    case "text":
      return wire.ContentAddress_Method.TEXT;
    case "flat":
      return wire.ContentAddress_Method.FLAT;
    case "nixArchive":
      return wire.ContentAddress_Method.NIX_ARCHIVE;
    case "git":
      return wire.ContentAddress_Method.GIT;
  }
}

/** A content address. @throws RpcError `invalid-argument` naming the field */
export function contentAddressFromWire(message: wire.ContentAddress, field: string): KnownContentAddress {
  const method = methodFromWire(message.method, `${field}.method`);
  const hash = hashFromWire(message.hash, `${field}.hash`);
  if (method === "text" && hash.algorithm !== "sha256") throw bad(field, "a text hash must be sha256");
  return { method, hash };
}

/** A content address as its message. */
export function contentAddressToWire(ca: KnownContentAddress, field: string): wire.ContentAddress {
  return create(wire.ContentAddressSchema, {
    method: methodToWire(ca.method),
    hash: hashToWire(ca.hash, field),
  });
}

// ── Path infos ─────────────────────────────────────────────────────────────────────────────────────────────────

const signaturePattern = /^[A-Za-z0-9+/]{86}==$/;

/** A signature that does not parse is dropped: it proves nothing, and the info may carry good ones. */
function signaturesFromWire(messages: readonly wire.Signature[]): string[] {
  return messages
    .filter(({ keyName, sig }) => keyName !== "" && !keyName.includes(":") && signaturePattern.test(sig))
    .map(({ keyName, sig }) => `${keyName}:${sig}`);
}

function signatureToWire(text: string, field: string): wire.Signature {
  const colon = text.indexOf(":");
  if (colon < 1) throw bad(field, "is not of the form name:signature");
  return create(wire.SignatureSchema, { keyName: text.slice(0, colon), sig: text.slice(colon + 1) });
}

/** The address of a path: in numbers where the wire has some, else as text. */
function addressFromWire(info: wire.UnkeyedValidPathInfo, field: string): ContentAddress | undefined {
  const { ca, foreignCa } = info;
  if (ca !== undefined) return contentAddressFromWire(ca, `${field}.ca`);
  return foreignCa === undefined
    ? undefined
    : inField(`${field}.foreign_ca`, () => parseContentAddress(foreignCa));
}

function addressToWire(
  ca: ContentAddress | undefined,
  field: string,
): { readonly ca?: wire.ContentAddress; readonly foreignCa?: string } {
  if (ca === undefined) return {};
  return ca.method === "foreign"
    ? { foreignCa: printContentAddress(ca) }
    : { ca: contentAddressToWire(ca, field) };
}

function unkeyedFromWire(path: StorePath, info: wire.UnkeyedValidPathInfo, field: string): ValidPathInfo {
  const references = storePathsFromWire(info.references, `${field}.references`).sort(compareStorePaths);
  return {
    path,
    deriver: info.deriver && storePathFromWire(info.deriver, `${field}.deriver`),
    narHash: narHashFromWire(info.narHash, `${field}.nar_hash`),
    references,
    registrationTime: toNumber(info.registrationTime ?? 0n, `${field}.registration_time`),
    narSize: toNumber(info.narSize, `${field}.nar_size`),
    ultimate: info.ultimate,
    signatures: signaturesFromWire(info.signatures),
    ca: addressFromWire(info, field),
  };
}

function unkeyedToWire(storeDir: StoreDir, info: ValidPathInfo): wire.UnkeyedValidPathInfo {
  const field = `info of ${info.path}`;
  return create(wire.UnkeyedValidPathInfoSchema, {
    ...present("deriver", info.deriver && storePathToWire(info.deriver)),
    narHash: hashToWire(info.narHash, `${field}: narHash`),
    references: info.references.map(storePathToWire),
    ...present(
      "registrationTime",
      info.registrationTime === 0 ? undefined : toBigint(info.registrationTime, `${field}: registrationTime`),
    ),
    narSize: toBigint(info.narSize, `${field}: narSize`),
    ultimate: info.ultimate,
    signatures: info.signatures.map((text) => signatureToWire(text, `${field}: signatures`)),
    ...addressToWire(info.ca, `${field}: ca`),
    storeDir,
  });
}

/** The store directory inside is not looked at: where a path is imported, the importer's own counts. */
export function pathInfoFromWire(message: wire.ValidPathInfo, field: string): ValidPathInfo {
  const path = storePathFromWire(message.path, `${field}.path`);
  return unkeyedFromWire(path, required(message.info, `${field}.info`), `${field}.info`);
}

/** What is known of a valid path, as its message. */
export function pathInfoToWire(storeDir: StoreDir, info: ValidPathInfo): wire.ValidPathInfo {
  return create(wire.ValidPathInfoSchema, {
    path: storePathToWire(info.path),
    info: unkeyedToWire(storeDir, info),
  });
}

/** @throws RpcError `invalid-argument`, also when the narinfo is of another store directory */
export function narInfoFromWire(
  storeDir: StoreDir,
  message: wire.NarInfo | undefined,
  field: string,
): NarInfo {
  const { path: wirePath, info: outer } = required(message, field);
  const path = storePathFromWire(wirePath, `${field}.path`);
  const { info, url, compression, downloadHash, downloadSize } = required(outer, `${field}.info`);
  const inner = required(info, `${field}.info.info`);
  if (inner.storeDir !== storeDir) {
    throw bad(`${field}.info.info.store_dir`, `${JSON.stringify(inner.storeDir)} is not ${storeDir}`);
  }
  return {
    ...unkeyedFromWire(path, inner, `${field}.info.info`),
    url,
    compression: compression === "" ? "none" : compression,
    fileHash: downloadHash && hashFromWire(downloadHash, `${field}.info.download_hash`),
    fileSize: downloadSize === undefined ? undefined : toNumber(downloadSize, `${field}.info.download_size`),
  };
}

/** A narinfo as its message. */
export function narInfoToWire(storeDir: StoreDir, info: NarInfo): wire.NarInfo {
  const field = `narinfo of ${info.path}`;
  return create(wire.NarInfoSchema, {
    path: storePathToWire(info.path),
    info: create(wire.UnkeyedNarInfoSchema, {
      info: unkeyedToWire(storeDir, info),
      url: info.url,
      compression: info.compression,
      ...present("downloadHash", info.fileHash && hashToWire(info.fileHash, `${field}: fileHash`)),
      ...present(
        "downloadSize",
        info.fileSize === undefined ? undefined : toBigint(info.fileSize, `${field}: fileSize`),
      ),
    }),
  });
}
