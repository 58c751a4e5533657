/** `nix-cache-info`: which store a cache is for. */
import type { StoreDir } from "../../nix/path/store-path.js";
import type { CacheSettings } from "../cache-uri.js";
import { BinaryCacheError } from "../errors.js";
import { cacheInfoKey, contentTypes } from "../layout.js";
import { collect } from "../objects/byte-streams.js";
import type { ObjectStore, ReadOptions } from "../objects/object-store.js";

const maxInfoBytes = 1 << 20;

/**
 * Checks that the cache is for our store; writes `nix-cache-info` when it is missing.
 *
 * @throws BinaryCacheError `wrong-store`; what the store throws that cannot be read or written
 */
export async function confirmCacheInfo(
  objects: ObjectStore,
  settings: CacheSettings,
  storeDir: StoreDir,
  { signal }: ReadOptions,
): Promise<void> {
  const found = await objects.get(cacheInfoKey, { signal });
  if (found === undefined) {
    const lines = [`StoreDir: ${storeDir}`];
    if (settings.wantMassQuery !== undefined) lines.push(`WantMassQuery: ${settings.wantMassQuery ? 1 : 0}`);
    if (settings.priority !== undefined) lines.push(`Priority: ${settings.priority}`);
    const body = Buffer.from(`${lines.join("\n")}\n`);
    await objects.put(cacheInfoKey, body, { contentType: contentTypes.cacheInfo, ifAbsent: true, signal });
    return;
  }
  const text = (await collect(found.body, maxInfoBytes)).toString();
  const theirs = /^StoreDir:[ \t]*(.*?)[ \t]*$/m.exec(text)?.[1];
  if (theirs !== undefined && theirs !== storeDir) throw wrongStore(objects.name, theirs, storeDir);
}

/** The error for a cache of another store. */
export function wrongStore(place: string, theirs: string, ours: string): BinaryCacheError {
  return new BinaryCacheError(
    "wrong-store",
    `the binary cache ${place} is for the store ${theirs}, but this is ${ours}: use another cache`,
    { store: place },
  );
}
