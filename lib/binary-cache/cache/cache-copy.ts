/**
 * From one binary cache into another: stored NARs as they are, narinfos signed with our keys.
 *
 * A path is taken only with its whole closure, references before referrers, and its narinfo is written last.
 */
import { mapLimited } from "../../async/index.js";
import { parseCompressionMethod } from "../../compression/index.js";
import type { NarInfo } from "../../nix/cache/nar-info.js";
import { PublicKey, type Signer, verifySignature } from "../../nix/cache/signer.js";
import type { NarListing } from "../../nix/nar/listing.js";
import type { StoreDir, StorePath } from "../../nix/path/store-path.js";
import { dependenciesFirst } from "../../nix/store/closure.js";
import { BinaryCacheError, missingObject } from "../errors.js";
import { contentTypes, narInfoKey } from "../layout.js";
import type { ObjectStore, ReadOptions } from "../objects/object-store.js";
import type { ListingsAndDebugLinks } from "./listings-and-debug-links.js";
import type { Presence } from "./presence-query.js";
import type { StoredNar, StoredNars } from "./stored-nars.js";

const readsAtOnce = 20;

/** What a copy needs of the cache it comes from. */
export interface CopySource {
  readonly name: string;
  readonly storeDir: StoreDir;
  readonly signers: readonly Signer[];
  readonly objects: ObjectStore;
  narInfo(path: StorePath, options?: ReadOptions): Promise<NarInfo | undefined>;
  listing(path: StorePath, options?: ReadOptions): Promise<NarListing | undefined>;
}

/** Says what a cache has. */
interface PresenceSource {
  hasNarInfos(paths: Iterable<StorePath>, options?: ReadOptions): Promise<Map<StorePath, Presence>>;
}

/**
 * What `to` lacks of the closures of `paths`, as `from` has it; references first.
 *
 * @throws BinaryCacheError `missing` when neither has a path, `mismatch` for a narinfo that `from` has not signed
 */
export async function closureToCopy(
  from: CopySource,
  to: PresenceSource,
  paths: readonly StorePath[],
  options: ReadOptions,
): Promise<NarInfo[]> {
  const infos = new Map<StorePath, NarInfo>();
  const seen = new Set(paths);
  for (let level = [...seen]; level.length > 0; ) {
    const presence = await to.hasNarInfos(level, options);
    const next = new Set<StorePath>();
    await mapLimited(
      level.filter((path) => presence.get(path) !== "present"),
      readsAtOnce,
      async (path) => {
        const info = await from.narInfo(path, options);
        if (info === undefined) throw missingObject(from.name, narInfoKey(path));
        demandSignature(from, info);
        infos.set(path, info);
        for (const reference of info.references) if (!seen.has(reference)) next.add(reference);
      },
    );
    for (const path of next) seen.add(path);
    level = [...next];
  }
  return dependenciesFirst(infos.keys(), infos);
}

/** What a copy needs of the cache it goes into. */
export interface CopyTarget {
  readonly objects: ObjectStore;
  readonly nars: StoredNars;
  readonly listings: ListingsAndDebugLinks;
  /** Signs and writes the narinfo. */
  readonly publish: (info: NarInfo) => Promise<void>;
}

/** How one path is copied. `repair`: copy the NAR even if the target has it; default false. */
export interface CopyOptions extends ReadOptions {
  readonly repair?: boolean | undefined;
  /** Awaited before the narinfo makes the path visible. */
  readonly beforePublish?: (() => Promise<void>) | undefined;
}

/** One path that the target lacks. @throws BinaryCacheError */
export async function copyPath(
  to: CopyTarget,
  from: CopySource,
  info: NarInfo,
  options: CopyOptions,
): Promise<"uploaded"> {
  const { signal } = options;
  const found = await reusableNar(to, info, options);
  if (found === undefined) await copyNar(from.objects, to.objects, info, { signal });
  const listing = to.listings.wanted ? await from.listing(info.path, { signal }) : undefined;
  if (listing !== undefined) await to.listings.put(info.path, info.url, listing, options);
  await options.beforePublish?.();
  await to.publish({ ...info, ...found });
  return "uploaded";
}

/** The NAR of that name that is there already, measured, when it can be used: its file may be another one. */
async function reusableNar(
  { objects, nars }: CopyTarget,
  info: NarInfo,
  { signal, repair }: CopyOptions,
): Promise<StoredNar | undefined> {
  const { url: key } = info;
  const compression = parseCompressionMethod(info.compression);
  if (repair === true || compression === undefined) return undefined;
  if ((await objects.head(key, { signal })) === undefined) return undefined;
  return nars.ifReusable(key, signal, () => nars.verify(info, key, { signal, compression }));
}

/** The stored NAR, as it is, over one that is there. */
async function copyNar(
  from: ObjectStore,
  to: ObjectStore,
  info: NarInfo,
  { signal }: ReadOptions,
): Promise<void> {
  const { url, fileSize } = info;
  const isCopied = async (): Promise<boolean> => {
    const copied = await to.head(url, { signal });
    return copied !== undefined && (fileSize === undefined || copied.size === fileSize);
  };
  // There are servers that say they have copied and have not.
  if ((await to.takeOver?.(from, url, { signal })) === true && (await isCopied())) return;
  const object = await from.get(url, { signal });
  if (object === undefined) throw missingObject(from.name, url);
  await to.put(url, object.body, { contentType: contentTypes.nar, sizeHint: object.size, signal });
  if (await isCopied()) return;
  throw new BinaryCacheError("mismatch", `'${url}' in ${from.name} is not the file of its narinfo`, {
    store: from.name,
    key: url,
  });
}

/** Whatever is in a cache with keys was signed by it; what was not did not come from us. */
function demandSignature(cache: CopySource, info: NarInfo): void {
  const keys = cache.signers.map((signer) => PublicKey.parse(signer.publicKey));
  if (keys.length === 0 || verifySignature(cache.storeDir, info, keys)) return;
  const key = narInfoKey(info.path);
  throw new BinaryCacheError("mismatch", `'${key}' in ${cache.name} is not signed with its keys`, {
    store: cache.name,
    key,
  });
}
