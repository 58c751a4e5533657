/**
 * Outputs that only a binary cache has, described as a builder describes what it built: sizes from the narinfos, the rest
 * from the output itself.
 *
 * The listing says whether a build left anything in `nix-support`; only then is the NAR fetched.
 */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { mapLimited } from "../../async/index.js";
import type { BinaryCache } from "../../binary-cache/index.js";
import type { Logger } from "../../log.js";
import { type NarInfo, restoreNar } from "../../nix/index.js";
import { findInListing } from "../../nix/nar/listing.js";
import type { StorePath } from "../../nix/path/store-path.js";
import { readNixSupport } from "../../nix-support/index.js";
import type { BuiltOutput, NixSupport } from "../../rpc/types.js";
import { withoutDropped } from "./dropped-lines.js";

const readsAtOnce = 20;

/** From the first cache that has the path; undefined when none has. @throws BinaryCacheError, NixFormatError */
export async function readCachedOutput(
  caches: readonly BinaryCache[],
  outputName: string,
  path: StorePath,
  logger: Logger,
): Promise<BuiltOutput | undefined> {
  for (const cache of caches) {
    const info = await cache.narInfo(path);
    if (info === undefined) continue;
    const [closureSize, nixSupport] = await Promise.all([
      closureSizeOf(cache, info),
      nixSupportOf(cache, info, outputName, logger),
    ]);
    return { path, narSize: info.narSize, closureSize, narHash: info.narHash, nixSupport };
  }
  return undefined;
}

/** Sum of the NAR sizes of what is reachable; paths that the cache lacks count nothing. */
async function closureSizeOf(cache: BinaryCache, root: NarInfo): Promise<number> {
  const seen = new Set([root.path]);
  let size = 0;
  for (let level: readonly NarInfo[] = [root]; level.length > 0; ) {
    const next = new Set<StorePath>();
    for (const { narSize, references } of level) {
      size += narSize;
      for (const reference of references) if (!seen.has(reference)) next.add(reference);
    }
    for (const path of next) seen.add(path);
    level = (await mapLimited([...next], readsAtOnce, (path) => cache.narInfo(path))).filter(
      (info) => info !== undefined,
    );
  }
  return size;
}

async function nixSupportOf(
  cache: BinaryCache,
  info: NarInfo,
  outputName: string,
  logger: Logger,
): Promise<NixSupport> {
  const folder = await mkdtemp(join(tmpdir(), "hydra-output-"));
  try {
    const listing = await cache.listing(info.path);
    const place = join(folder, info.path);
    if (listing === undefined || findInListing(listing, "nix-support") !== undefined) {
      await restoreNar(cache.openNar(info), place);
    } else if (listing.type === "directory") await mkdir(place);
    else await writeFile(place, "");
    const report = await readNixSupport(
      { storeDir: cache.storeDir, realStoreDir: folder },
      outputName,
      info.path,
    );
    return withoutDropped(report, info.path, logger);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
