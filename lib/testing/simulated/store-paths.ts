/** Store paths of the simulated store. */
import { defaultStoreDir, hashBytes, printHash, type StorePath } from "../../nix/index.js";

/** Where the simulated store is. */
export const storeDir = defaultStoreDir;

/** A store path that follows from a text; no contents stand behind it. */
export function pathOf(seed: string, name: string): StorePath {
  const hash = printHash(hashBytes("sha256", Buffer.from(`${seed}:${name}`)), "nix32", false);
  return `${hash.slice(0, 32)}-${name}` as StorePath;
}
