/** Names and kinds of the objects in a binary cache. */
import { type CompressionMethod, methodExtension } from "../compression/index.js";
import { type Hash, printHash } from "../nix/path/hash.js";
import { type StorePath, storePathHashPart } from "../nix/path/store-path.js";

export const cacheInfoKey = "nix-cache-info";

export const contentTypes = {
  cacheInfo: "text/x-nix-cache-info",
  narInfo: "text/x-nix-narinfo",
  nar: "application/x-nix-nar",
  json: "application/json",
  log: "text/plain; charset=utf-8",
} as const;

export function narInfoKey(path: StorePath): string {
  return `${storePathHashPart(path)}.narinfo`;
}

/** Named by the hash of the uncompressed NAR: equal contents are stored once, and the name is known beforehand. */
export function narKey(narHash: Hash, method: CompressionMethod): string {
  return `nar/${printHash(narHash, "nix32", false)}.nar${methodExtension(method)}`;
}

export function listingKey(path: StorePath): string {
  return `${storePathHashPart(path)}.ls`;
}

/** `attempt`: a try that did not decide what became of the derivation. */
export function logKey(drv: StorePath, attempt?: string): string {
  return attempt === undefined ? `log/${drv}` : `log/${drv}.${attempt}`;
}

export function debugInfoKey(buildId: string): string {
  return `debuginfo/${buildId}`;
}
