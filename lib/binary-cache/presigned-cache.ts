/**
 * A bucket that builders write NARs into with URLs signed here.
 *
 * What was signed is remembered until the upload is completed or abandoned: a builder can complete only what it asked
 * for, and uploads in parts that nobody completes are aborted.
 */
import { type Logger, silentLogger } from "../log.js";
import { type Hash, hashesEqual } from "../nix/hash.js";
import type { NarInfo } from "../nix/nar-info.js";
import type { StorePath } from "../nix/store-path.js";
import { BinaryCache, type BinaryCacheOptions } from "./binary-cache.js";
import { forEachLimited } from "./byte-streams.js";
import { BinaryCacheError } from "./errors.js";
import { contentTypes, debugInfoKey, listingKey, narKey } from "./layout.js";
import type { ReadOptions } from "./object-store.js";
import { partPlan } from "./part-plan.js";
import type { S3PresignedPart, UploadedPart } from "./s3-multipart.js";
import type { S3Uploader } from "./s3-uploader.js";

export interface MintRequest {
  readonly path: StorePath;
  readonly narHash: Hash;
  readonly narSize: number;
  readonly debugInfoBuildIds: readonly string[];
}

export interface MintedMultipart {
  readonly uploadId: string;
  readonly partSize: number;
  /** Dense, from part 1. */
  readonly parts: readonly S3PresignedPart[];
}

export interface MintedUpload {
  /** Object key. */
  readonly path: string;
  readonly url: string;
  readonly compression: string;
  /** 0 = the method's usual level. */
  readonly compressionLevel: number;
  readonly multipart: MintedMultipart | undefined;
}

export interface MintedNar {
  readonly path: StorePath;
  /** The `URL` of the narinfo. */
  readonly narUrl: string;
  readonly narUpload: MintedUpload;
  readonly lsUpload: MintedUpload | undefined;
  /** One for every build id that was sent, or none. */
  readonly debugInfoUploads: readonly MintedUpload[];
}

export interface CompletedUpload {
  /** As the builder reports it; what was not measured here is taken from the request it was minted for. */
  readonly narInfo: NarInfo;
  readonly multipart:
    | {
        readonly objectKey: string;
        readonly uploadId: string;
        readonly parts: readonly UploadedPart[];
      }
    | undefined;
  readonly narAlreadyPresent: boolean;
}

interface Minted {
  readonly request: MintRequest;
  readonly key: string;
  readonly uploadIds: Set<string>;
  /** Those that became an object. */
  readonly completed: Set<string>;
}

const headsAtOnce = 10;

export class PresignedCache extends BinaryCache {
  readonly #bucket: S3Uploader;
  readonly #log: Logger;
  /** By owner (an attempt, say) and path. */
  readonly #minted = new Map<string, Map<StorePath, Minted>>();

  constructor(options: BinaryCacheOptions & { readonly bucket: S3Uploader }) {
    super(options);
    this.#bucket = options.bucket;
    this.#log = options.logger ?? silentLogger;
  }

  /**
   * Signs URLs for those paths that the cache lacks, in the order of the requests. `owner` names on whose behalf.
   *
   * @throws BinaryCacheError
   */
  async mint(
    owner: string,
    requests: readonly MintRequest[],
    options: ReadOptions = {},
  ): Promise<MintedNar[]> {
    const presence = await this.hasNarInfos(
      requests.map(({ path }) => path),
      options,
    );
    // One that could not be asked for is uploaded: doing that in vain is better than a hole in the closure.
    const wanted = requests.filter(({ path }) => presence.get(path) !== "present");
    const minted = new Map<StorePath, MintedNar>();
    await forEachLimited(wanted, headsAtOnce, async (request) => {
      minted.set(request.path, await this.#mintOne(owner, request, options));
    });
    return wanted.map(({ path }) => minted.get(path)).filter((nar) => nar !== undefined);
  }

  /** More parts of an upload that `owner` has. @throws BinaryCacheError (`missing`) when it has no such upload */
  async mintParts(
    owner: string,
    request: {
      readonly objectKey: string;
      readonly uploadId: string;
      readonly startPartNumber: number;
      readonly numParts: number;
    },
  ): Promise<S3PresignedPart[]> {
    const { objectKey, uploadId, startPartNumber, numParts } = request;
    this.#owned(owner, objectKey, uploadId);
    const { presignedUrlExpiry } = this.settings;
    const count = Math.min(numParts, 1000);
    return this.#bucket.multipart.sign(objectKey, uploadId, startPartNumber, count, presignedUrlExpiry);
  }

  /**
   * Ends an upload: completes its parts, checks what is stored, and publishes the signed narinfo. After an error it may
   * be called again.
   *
   * @throws BinaryCacheError: `missing` when `owner` asked for no such upload or an object is not there; `mismatch`
   */
  async complete(
    owner: string,
    upload: CompletedUpload,
    options: ReadOptions & UploadOrder = {},
  ): Promise<void> {
    const { narInfo, multipart } = upload;
    const minted = this.#minted.get(owner)?.get(narInfo.path);
    if (minted === undefined) {
      // The answer to the first call may have been lost.
      const presence = await this.hasNarInfos([narInfo.path], options);
      if (presence.get(narInfo.path) === "present") return;
      throw new BinaryCacheError("missing", `no upload of ${narInfo.path} was asked for`, {
        store: this.name,
      });
    }
    const { request, key } = minted;
    const promised = narInfo.narSize === request.narSize && hashesEqual(narInfo.narHash, request.narHash);
    if (!promised || narInfo.url !== key) {
      throw new BinaryCacheError(
        "mismatch",
        `${narInfo.path}: the upload is not the one that was asked for`,
        {
          store: this.name,
          key,
        },
      );
    }
    let present = upload.narAlreadyPresent;
    if (multipart !== undefined) {
      this.#owned(owner, multipart.objectKey, multipart.uploadId, minted);
      present = (await this.#completeParts(minted, multipart, options)) || present;
    }
    if (this.settings.writeNarListing) {
      const ls = listingKey(narInfo.path);
      if ((await this.objects.head(ls, options)) === undefined) throw this.missing(ls);
    }
    const stored = present
      ? await this.verifyStoredNar(narInfo, key, options)
      : await this.#measure(narInfo, key, options);
    if (stored === undefined) throw this.missing(key);
    await options.beforePublish?.();
    const { compression } = this.settings;
    await this.publish({ ...narInfo, ...stored, url: key, compression }, options);
    await this.#forget(owner, minted);
  }

  /** Gives up what `owner` has not completed; its uploads in parts are aborted. Never throws. */
  async abandon(owner: string): Promise<void> {
    const all = this.#minted.get(owner);
    this.#minted.delete(owner);
    for (const minted of all?.values() ?? []) await this.#abortParts(minted);
  }

  /** Aborts uploads in parts that were begun before `before` (ms since the epoch); how many there were. */
  async abortStale(before: number): Promise<number> {
    const mine = new Set<string>();
    for (const owned of this.#minted.values()) {
      for (const { uploadIds } of owned.values()) for (const id of uploadIds) mine.add(id);
    }
    const stale = (await this.#bucket.multipart.open("nar/", before)).filter(
      ({ uploadId }) => !mine.has(uploadId),
    );
    await forEachLimited(stale, headsAtOnce, ({ key, uploadId }) =>
      this.#bucket.multipart.abort(key, uploadId),
    );
    return stale.length;
  }

  async #mintOne(owner: string, request: MintRequest, options: ReadOptions): Promise<MintedNar> {
    const { compression, compressionLevel, lsCompression, presignedUrlExpiry, writeNarListing } =
      this.settings;
    const key = narKey(request.narHash, compression);
    const level = compressionLevel ?? 0;
    const upload = async (path: string, method: string, strength: number): Promise<MintedUpload> => ({
      path,
      url: await this.#bucket.presignPut(path, presignedUrlExpiry),
      compression: method,
      compressionLevel: strength,
      multipart: undefined,
    });
    const narUpload = await upload(key, compression, level);
    // Always in parts: some builders put a wrong Content-Encoding on a NAR sent whole.
    const uploadId = await this.#bucket.multipart.create(key, {
      contentType: contentTypes.nar,
      signal: options.signal,
    });
    this.#remember(owner, request, key, uploadId);
    const plan = partPlan(request.narSize);
    const parts = await this.#bucket.multipart.sign(key, uploadId, 1, plan.parts, presignedUrlExpiry);
    const lsUpload = writeNarListing
      ? await upload(listingKey(request.path), lsCompression, level)
      : undefined;
    const debugInfoUploads: MintedUpload[] = [];
    if (this.settings.writeDebugInfo && (await this.#lacksDebugInfo(request.debugInfoBuildIds, options))) {
      for (const id of request.debugInfoBuildIds)
        debugInfoUploads.push(await upload(debugInfoKey(id), "none", 0));
    }
    return {
      path: request.path,
      narUrl: key,
      narUpload: { ...narUpload, multipart: { uploadId, partSize: plan.partSize, parts } },
      lsUpload,
      debugInfoUploads,
    };
  }

  /** A builder wants a URL for each of its ids or for none, so one that is missing is enough. */
  async #lacksDebugInfo(ids: readonly string[], options: ReadOptions): Promise<boolean> {
    let lacking = false;
    await forEachLimited(ids, headsAtOnce, async (id) => {
      if (!lacking && (await this.objects.head(debugInfoKey(id), options)) === undefined) lacking = true;
    });
    return lacking;
  }

  #remember(owner: string, request: MintRequest, key: string, uploadId: string): void {
    let owned = this.#minted.get(owner);
    if (owned === undefined) {
      owned = new Map();
      this.#minted.set(owner, owned);
    }
    const before = owned.get(request.path);
    const uploadIds = before?.uploadIds ?? new Set<string>();
    uploadIds.add(uploadId);
    owned.set(request.path, { request, key, uploadIds, completed: before?.completed ?? new Set() });
  }

  #owned(owner: string, key: string, uploadId: string, only?: Minted): void {
    const candidates = only === undefined ? [...(this.#minted.get(owner)?.values() ?? [])] : [only];
    if (candidates.some((minted) => minted.key === key && minted.uploadIds.has(uploadId))) return;
    throw new BinaryCacheError("missing", `no such upload of '${key}' was asked for`, {
      store: this.name,
      key,
    });
  }

  /** Whether another upload had the same object there first. */
  async #completeParts(
    minted: Minted,
    multipart: NonNullable<CompletedUpload["multipart"]>,
    options: ReadOptions,
  ): Promise<boolean> {
    const { uploadId, parts } = multipart;
    const { key, completed } = minted;
    if (completed.has(uploadId)) return false;
    try {
      const complete = { ifAbsent: true, signal: options.signal };
      const result = await this.#bucket.multipart.complete(key, uploadId, parts, complete);
      if (result === "written") completed.add(uploadId);
      return result === "present";
    } catch (error) {
      // The upload stays open, so that the builder can try again; unless it was completed already.
      if ((await this.objects.head(key, options).catch(() => undefined)) !== undefined) return true;
      throw error;
    }
  }

  async #measure(
    info: NarInfo,
    key: string,
    options: ReadOptions,
  ): Promise<{ readonly fileHash: Hash; readonly fileSize: number } | undefined> {
    if (info.fileHash === undefined) return this.verifyStoredNar(info, key, options);
    const facts = await this.objects.head(key, options);
    if (facts === undefined) return undefined;
    if (info.fileSize !== undefined && info.fileSize !== facts.size) {
      throw new BinaryCacheError(
        "mismatch",
        `'${key}' has ${facts.size} bytes, not the ${info.fileSize} that the builder sent`,
        { store: this.name, key },
      );
    }
    return { fileHash: info.fileHash, fileSize: facts.size };
  }

  async #forget(owner: string, minted: Minted): Promise<void> {
    const owned = this.#minted.get(owner);
    owned?.delete(minted.request.path);
    if (owned?.size === 0) this.#minted.delete(owner);
    await this.#abortParts(minted);
  }

  async #abortParts(minted: Minted): Promise<void> {
    for (const uploadId of minted.uploadIds) {
      if (minted.completed.has(uploadId)) continue;
      await this.#bucket.multipart.abort(minted.key, uploadId).catch((error: unknown) => {
        this.#log.warn("cannot abort an upload", { key: minted.key, cache: this.name, error });
      });
    }
  }
}

interface UploadOrder {
  /** Awaited before the narinfo makes the path visible. */
  readonly beforePublish?: (() => Promise<void>) | undefined;
}
