/** One binary cache: reads it, and writes store paths into it in the order that keeps it whole at every moment. */
import {
  aFunction,
  aList,
  aLogger,
  anAmount,
  anObject,
  aSeries,
  aText,
  checkArgument,
  checkMembers,
  hasMembers,
  having,
  manyOf,
  optional,
  someTexts,
} from "../../argument-checks.js";
import type { Silence } from "../../async/index.js";
import { type Logger, silentLogger } from "../../log.js";
import { type NarInfo, parseNarInfo, printNarInfo } from "../../nix/cache/nar-info.js";
import type { RealisationKey } from "../../nix/cache/realisation.js";
import { pathFingerprint, type Signer } from "../../nix/cache/signer.js";
import type { NarListing } from "../../nix/nar/listing.js";
import { parseListing } from "../../nix/nar/listing-parser.js";
import { hashesEqual } from "../../nix/path/hash.js";
import type { StoreDir, StorePath } from "../../nix/path/store-path.js";
import type { ValidPathInfo } from "../../nix/store/path-info.js";
import type { CacheSettings } from "../cache-uri.js";
import { BinaryCacheError } from "../errors.js";
import { contentTypes, listingKey, narInfoKey, narKey } from "../layout.js";
import { anObjectStore, type ObjectStore, type ReadOptions } from "../objects/object-store.js";
import type { S3Uploader } from "../objects/s3-uploader.js";
import type { TrafficReport } from "../objects/traffic.js";
import { PresignedBucket } from "../presigned/presigned-bucket.js";
import { type CopyTarget, closureToCopy, copyPath } from "./cache-copy.js";
import { confirmCacheInfo } from "./cache-info.js";
import { inClosureOrder } from "./closure-upload.js";
import { ListingsAndDebugLinks } from "./listings-and-debug-links.js";
import { CacheLogs, type PutLogOptions } from "./logs.js";
import type { NarStage } from "./nar-stage.js";
import { PresenceCache } from "./presence-cache.js";
import { type Presence, queryPresence } from "./presence-query.js";
import { writeRealisation } from "./realisations.js";
import { SmallObjects } from "./small-objects.js";
import { type OpenNar, type StoredNar, StoredNars, type VerifyOptions } from "./stored-nars.js";

export type { Presence } from "./presence-query.js";
export type { OpenNar } from "./stored-nars.js";

/** What a `BinaryCache` is made of; `openBinaryCache` makes all of it from a URI. */
export interface BinaryCacheOptions {
  /** As configured. */
  readonly uri: string;
  readonly objects: ObjectStore;
  /** The bucket that `objects` is, when builders may upload into it with presigned URLs. Default: none. */
  readonly bucket?: S3Uploader | undefined;
  readonly settings: CacheSettings;
  readonly storeDir: StoreDir;
  readonly signers: readonly Signer[];
  readonly logger?: Logger | undefined;
  /** Milliseconds since the epoch. */
  readonly now?: (() => number) | undefined;
}

/** How a path is written. */
export interface UploadOptions extends ReadOptions {
  /** Write everything again even if it is there. Default false. */
  readonly repair?: boolean | undefined;
  /** The cache was found to lack the path a moment ago, so it is not asked again. Default false. */
  readonly absent?: boolean | undefined;
  /** Awaited after everything else is written and before the narinfo makes the path visible. */
  readonly beforePublish?: (() => Promise<void>) | undefined;
}

const manyPaths = manyOf("a list of path infos", hasMembers({ path: aText }));

/**
 * One binary cache, in a folder or a bucket. A narinfo is written only after everything it promises, so readers never
 * see half a path. Methods may be called at the same time, also for the same path, and by several processes on the
 * same cache.
 */
export class BinaryCache {
  readonly uri: string;
  readonly objects: ObjectStore;
  readonly settings: CacheSettings;
  readonly storeDir: StoreDir;
  readonly signers: readonly Signer[];
  /** Uploads by builders with presigned URLs; undefined for a cache that is not in a bucket. */
  readonly presigned: PresignedBucket | undefined;
  readonly #logger: Logger;
  readonly #presence: PresenceCache;
  readonly #smallObjects: SmallObjects;
  readonly #nars: StoredNars;
  readonly #listings: ListingsAndDebugLinks;
  readonly #logs: CacheLogs;
  #confirmed = false;
  /** Paths being written; further callers wait for the same write. */
  readonly #writing = new Map<StorePath, Promise<"uploaded" | "present">>();

  constructor(options: BinaryCacheOptions) {
    checkMembers("BinaryCache", options, {
      uri: aText,
      objects: anObjectStore,
      settings: anObject,
      storeDir: aText,
      signers: aList,
      logger: optional(aLogger),
      now: optional(aFunction),
    });
    this.uri = options.uri;
    this.objects = options.objects;
    this.settings = options.settings;
    this.storeDir = options.storeDir;
    this.signers = options.signers;
    this.#logger = options.logger ?? silentLogger;
    this.#presence = new PresenceCache(options.settings.presenceTtl, options.now);
    this.#smallObjects = new SmallObjects(this.objects, this.settings);
    this.#nars = new StoredNars(this.objects, this.settings, this.#logger);
    this.#listings = new ListingsAndDebugLinks(this.objects, this.settings, this.#smallObjects);
    this.#logs = new CacheLogs(this.objects, this.settings, this.#smallObjects);
    this.presigned = options.bucket && new PresignedBucket(this, options.bucket, this.#logger);
  }

  /** The store behind the cache was found to be for the same Nix store as ours. */
  get confirmed(): boolean {
    return this.#confirmed;
  }

  /** Whether the store answers; undefined for one that always does. */
  get silence(): Silence | undefined {
    return this.objects.silence;
  }

  /**
   * Checks that the cache is for our Nix store, and writes `nix-cache-info` when it is missing.
   *
   * @throws BinaryCacheError `wrong-store`; what the store throws that cannot be read or written
   */
  async confirm(options: ReadOptions = {}): Promise<void> {
    await confirmCacheInfo(this.objects, this.settings, this.storeDir, options);
    this.#confirmed = true;
  }

  /** Bucket, or folder. */
  get name(): string {
    return this.objects.name;
  }

  /** Requests and bytes since the cache was opened. */
  traffic(): TrafficReport {
    return this.objects.traffic.report(this.name);
  }

  /** Closes the connections to the store; the cache cannot be used afterwards. Nothing to wait for. */
  close(): void {
    this.objects.close();
  }

  /** Asks for many paths, 50 at a time. Never throws but for `signal`. */
  hasNarInfos(paths: Iterable<StorePath>, options: ReadOptions = {}): Promise<Map<StorePath, Presence>> {
    checkArgument("BinaryCache.hasNarInfos", "paths", paths, aSeries);
    return queryPresence(this.objects, this.#presence, paths, { ...options, logger: this.#logger });
  }

  /** @throws BinaryCacheError, NixFormatError */
  async narInfo(path: StorePath, options: ReadOptions = {}): Promise<NarInfo | undefined> {
    checkArgument("BinaryCache.narInfo", "path", path, aText);
    const text = await this.#smallObjects.read(narInfoKey(path), this.settings.narinfoCompression, options);
    if (text === undefined) {
      this.#presence.forget(path);
      return undefined;
    }
    const info = parseNarInfo(this.storeDir, text);
    this.#presence.add(path);
    return info;
  }

  /** What is in a path, where the cache has a listing. @throws BinaryCacheError, NixFormatError */
  async listing(path: StorePath, options: ReadOptions = {}): Promise<NarListing | undefined> {
    const text = await this.#smallObjects.read(listingKey(path), this.settings.lsCompression, options);
    return text === undefined ? undefined : parseListing(text);
  }

  /**
   * The uncompressed NAR, which ends with `too-large` beyond its size. The reader compares size and hash.
   *
   * @throws BinaryCacheError (`missing`), CompressionError
   */
  openNar(
    info: Pick<NarInfo, "path" | "url" | "compression" | "narSize">,
    options: ReadOptions = {},
  ): AsyncGenerator<Uint8Array> {
    checkMembers("BinaryCache.openNar", info, {
      path: aText,
      url: aText,
      compression: aText,
      narSize: anAmount,
    });
    return this.#nars.open(info, options);
  }

  /**
   * Begins to write the NAR of a path that is being received as one zstd frame, at level 3. `uploadPath` then finds it
   * there. Nothing is visible, and nothing signed, before that; who stages must discard what is not uploaded. Undefined when
   * the cache keeps its NARs in another way, or the same NAR is staged already.
   */
  stageNar(info: ValidPathInfo): NarStage | undefined {
    checkMembers("BinaryCache.stageNar", info, { path: aText, narHash: anObject });
    const key = narKey(info.narHash, this.settings.compression);
    return this.#nars.stage(info, key, { listing: this.#listings.wanted });
  }

  /**
   * The file of a NAR that `stageNar` made, to be sent as it is: one zstd frame. Undefined for any other path, and for a
   * cache in a bucket, where compressing again costs less than reading.
   *
   * @throws BinaryCacheError
   */
  async openFrame(
    info: Pick<ValidPathInfo, "narHash">,
    options: ReadOptions = {},
  ): Promise<AsyncIterable<Uint8Array> | undefined> {
    checkMembers("BinaryCache.openFrame", info, { narHash: anObject });
    if (this.settings.kind !== "file") return undefined;
    return this.#nars.openFrame(narKey(info.narHash, this.settings.compression), options);
  }

  /**
   * Writes one path: NAR, listing, debug links, and at last the narinfo, signed with our keys. The bytes of the NAR are
   * compared with what `info` promises before anything is signed. Calling it again does no harm.
   *
   * @throws BinaryCacheError (`mismatch` when the NAR is not what `info` says); what `openNar` throws
   */
  uploadPath(
    info: ValidPathInfo,
    openNar: OpenNar,
    options: UploadOptions = {},
  ): Promise<"uploaded" | "present"> {
    checkMembers("BinaryCache.uploadPath", info, { path: aText });
    checkArgument("BinaryCache.uploadPath", "openNar", openNar, aFunction);
    checkArgument("BinaryCache.uploadPath", "options", options, anObject);
    return this.#once(info.path, () => this.#upload(info, openNar, options), options);
  }

  /**
   * Writes what the cache lacks of a closure, given references first. Narinfos appear after those of their references.
   *
   * @throws as `uploadPath`; the first error stops the rest
   */
  async uploadClosure(
    closure: readonly ValidPathInfo[],
    openNar: OpenNar,
    options: UploadOptions & { readonly concurrency?: number | undefined } = {},
  ): Promise<{ readonly uploaded: readonly StorePath[] }> {
    checkArgument("BinaryCache.uploadClosure", "closure", closure, manyPaths);
    checkArgument("BinaryCache.uploadClosure", "openNar", openNar, aFunction);
    checkMembers("BinaryCache.uploadClosure", options, { concurrency: optional(anAmount) });
    const present = await this.hasNarInfos(
      closure.map(({ path }) => path),
      options,
    );
    const wanted = closure.filter(({ path }) => options.repair === true || present.get(path) !== "present");
    const uploaded = await inClosureOrder(
      wanted,
      (info, beforePublish) => {
        const absent = present.get(info.path) === "absent";
        return this.uploadPath(info, openNar, { ...options, beforePublish, absent });
      },
      options,
    );
    return { uploaded };
  }

  /**
   * Takes paths, with what is lacking of their closures, over from another cache: the stored files as they are (copied
   * by the server where it can), listings and debug links, and narinfos with our signatures. Narinfos appear after those
   * of their references.
   *
   * @throws BinaryCacheError `missing` when the other cache lacks a path, `mismatch`; the first error stops the rest
   */
  async copyClosure(
    from: BinaryCache,
    paths: readonly StorePath[],
    options: UploadOptions = {},
  ): Promise<{ readonly copied: readonly StorePath[] }> {
    checkArgument("BinaryCache.copyClosure", "from", from, having("a BinaryCache", ["narInfo", "openNar"]));
    checkArgument("BinaryCache.copyClosure", "paths", paths, someTexts);
    checkArgument("BinaryCache.copyClosure", "options", options, anObject);
    const wanted = await closureToCopy(from, this, paths, options);
    const target: CopyTarget = {
      objects: this.objects,
      nars: this.#nars,
      listings: this.#listings,
      publish: (info) => this.publish(info, options),
    };
    const copied = await inClosureOrder(
      wanted,
      (info, beforePublish) =>
        this.#once(info.path, () => copyPath(target, from, info, { ...options, beforePublish }), options),
      options,
    );
    return { copied };
  }

  /** The log of a derivation, decoded; undefined when there is none. @throws BinaryCacheError */
  openLog(drv: StorePath, options: ReadOptions = {}): Promise<AsyncIterable<Uint8Array> | undefined> {
    return this.#logs.open(drv, options);
  }

  /**
   * Writes the log of a derivation, over one that is there. With `attempt` it is the log of a try that another one
   * followed, which stays under a name of its own.
   */
  putLog(drv: StorePath, log: AsyncIterable<Uint8Array>, options: PutLogOptions = {}): Promise<void> {
    return this.#logs.put(drv, log, options);
  }

  /** Writes the realisation of an output, signed with our keys, in the layout of queue-runners and in that of newer Nix. */
  putRealisation(
    realisation: RealisationKey & { readonly outPath: StorePath },
    options: ReadOptions = {},
  ): Promise<void> {
    checkMembers("BinaryCache.putRealisation", realisation, {
      drvPath: aText,
      outputName: aText,
      outPath: aText,
    });
    return writeRealisation(this.objects, this.signers, realisation, options);
  }

  /**
   * Signs and writes a narinfo; its NAR must be there. One that is there already stays as it is.
   *
   * @throws BinaryCacheError `mismatch` when that one is of another build with other contents
   */
  publish(
    info: NarInfo,
    options: ReadOptions & { readonly repair?: boolean | undefined } = {},
  ): Promise<void> {
    return this.#publish(info, options);
  }

  /** The narinfo appears after `listed`, which says that NAR, listing and debug links are there. */
  async #publish(
    info: NarInfo,
    options: ReadOptions & { readonly repair?: boolean | undefined },
    listed?: Promise<void>,
  ): Promise<void> {
    const fingerprint = pathFingerprint(this.storeDir, info);
    const signatures = this.signers.map((signer) => signer.sign(fingerprint));
    const signed = { ...info, signatures: signatures.length > 0 ? signatures : info.signatures };
    const text = printNarInfo(this.storeDir, signed);
    const { narinfoCompression } = this.settings;
    const put = {
      contentType: contentTypes.narInfo,
      ifAbsent: options.repair !== true,
      signal: options.signal,
    };
    const result = await this.#smallObjects.put(narInfoKey(info.path), text, narinfoCompression, put, listed);
    if (result === "present") await this.demandSameContents([info], options);
    this.#presence.add(info.path);
  }

  /**
   * Compares paths with what the cache has under their names, if anything.
   *
   * @throws BinaryCacheError `mismatch` for a path with other contents: mixing them with ours would make a closure that
   * no build ever made
   */
  async demandSameContents(
    infos: readonly Pick<ValidPathInfo, "path" | "narHash">[],
    options: ReadOptions = {},
  ): Promise<void> {
    for (const { path, narHash } of infos) {
      const there = await this.narInfo(path, options);
      if (there === undefined || hashesEqual(there.narHash, narHash)) continue;
      throw new BinaryCacheError(
        "mismatch",
        `${path} is in ${this.name} already, from another build with different contents`,
        { store: this.name, key: narInfoKey(path) },
      );
    }
  }

  /** Size and hash of a stored NAR, whose contents are checked on the way. Undefined when there is none. */
  verifyStoredNar(
    info: ValidPathInfo,
    key: string,
    options: VerifyOptions = {},
  ): Promise<StoredNar | undefined> {
    return this.#nars.verify(info, key, options);
  }

  /** When the upload that is under way fails, the next caller tries. */
  async #once(
    path: StorePath,
    write: () => Promise<"uploaded" | "present">,
    options: ReadOptions,
  ): Promise<"uploaded" | "present"> {
    const running = this.#writing.get(path);
    if (running !== undefined) {
      const result = await running.catch(() => undefined);
      options.signal?.throwIfAborted();
      return result ?? (await this.#once(path, write, options));
    }
    const task = write().finally(() => this.#writing.delete(path));
    this.#writing.set(path, task);
    return task;
  }

  async #upload(
    info: ValidPathInfo,
    openNar: OpenNar,
    options: UploadOptions,
  ): Promise<"uploaded" | "present"> {
    const { signal, repair = false, absent = false } = options;
    signal?.throwIfAborted();
    if (
      !repair &&
      !absent &&
      (this.#presence.has(info.path) ||
        (await this.objects.head(narInfoKey(info.path), options)) !== undefined)
    ) {
      this.#presence.add(info.path);
      return "present";
    }
    const { compression: method } = this.settings;
    const url = narKey(info.narHash, method);
    const store = { listing: this.#listings.wanted, repair, signal };
    await this.#nars.store(info, url, openNar, store, async (nar, named) => {
      const { inspection, fileHash, fileSize } = nar;
      const { listing, listingFault } = inspection;
      if (listingFault !== undefined) {
        this.#logger.warn("cannot make the listing of a path", { path: info.path, error: listingFault });
      }
      const listed =
        listing === undefined ? named : this.#listings.put(info.path, url, listing, options, named);
      const over = listed.catch(() => {});
      try {
        await options.beforePublish?.();
        await this.#publish({ ...info, url, compression: method, fileHash, fileSize }, options, listed);
      } finally {
        await over;
      }
    });
    return "uploaded";
  }
}

/** A cache that builders can upload into. */
export interface PresignedCache extends BinaryCache {
  readonly presigned: PresignedBucket;
}

/** Whether builders can upload into a cache with presigned URLs: it is in an S3 bucket. */
export function isPresignedCache(cache: BinaryCache): cache is PresignedCache {
  checkArgument("isPresignedCache", "cache", cache, anObject);
  return cache.presigned !== undefined;
}
