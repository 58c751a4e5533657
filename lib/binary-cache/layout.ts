/** Names and kinds of the objects in a binary cache. */
import { type CompressionMethod, methodExtension } from "../compression/index.js";
import { type Hash, printHash } from "../nix/path/hash.js";
import { type StorePath, storePathHashPart } from "../nix/path/store-path.js";

/** Object that says which store folder a cache belongs to; one per cache. */
export const cacheInfoKey = "nix-cache-info";

/** Content-Type by kind of object, as Nix sends them. */
export const contentTypes = {
  cacheInfo: "text/x-nix-cache-info",
  narInfo: "text/x-nix-narinfo",
  nar: "application/x-nix-nar",
  json: "application/json",
  log: "text/plain; charset=utf-8",
} as const;

/** `<hash part>.narinfo`: the narinfo of a path. */
export function narInfoKey(path: StorePath): string {
  return `${storePathHashPart(path)}.narinfo`;
}

/** Named by the hash of the uncompressed NAR: equal contents are stored once, and the name is known beforehand. */
export function narKey(narHash: Hash, method: CompressionMethod): string {
  return `nar/${printHash(narHash, "nix32", false)}.nar${methodExtension(method)}`;
}

/** `<hash part>.ls`: the JSON listing of what is in a path. */
export function listingKey(path: StorePath): string {
  return `${storePathHashPart(path)}.ls`;
}

/** Bytes of one part of a key: a store of files cannot have longer names. */
const longestPart = 255;

/**
 * `attempt`: a try that did not decide what became of the derivation. A name that would be too long loses the end of the
 * derivation's name; its hash keeps it apart from others.
 */
export function logKey(drv: StorePath, attempt?: string): string {
  if (attempt === undefined) return `log/${drv}`;
  const ending = `.${attempt}`;
  return `log/${drv.slice(0, Math.max(storePathHashPart(drv).length, longestPart - ending.length))}${ending}`;
}

/** `debuginfo/<build id>` (lower-case hex): the link from a build id to the NAR that has its debug information. */
export function debugInfoKey(buildId: string): string {
  return `debuginfo/${buildId}`;
}
