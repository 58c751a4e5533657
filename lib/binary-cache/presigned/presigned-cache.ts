/**
 * A bucket that builders write NARs into with URLs signed here.
 *
 * What was signed is remembered until the upload is completed or abandoned: a builder can complete only what it asked
 * for, and uploads in parts that nobody completes are aborted.
 */
import { mapLimited } from "../../async/index.js";
import { CompressionError } from "../../compression/index.js";
import { type Logger, silentLogger } from "../../log.js";
import type { NarInfo } from "../../nix/cache/nar-info.js";
import { type Hash, hashesEqual } from "../../nix/path/hash.js";
import type { StorePath } from "../../nix/path/store-path.js";
import { BinaryCache, type BinaryCacheOptions } from "../cache/binary-cache.js";
import { BinaryCacheError } from "../errors.js";
import { listingKey } from "../layout.js";
import type { ReadOptions } from "../objects/object-store.js";
import type { S3PresignedPart } from "../objects/s3-multipart.js";
import type { S3Uploader } from "../objects/s3-uploader.js";
import { type Minted, MintedUploads } from "./minted-uploads.js";
import { mintNar } from "./minting.js";
import type { CompletedUpload, MintedNar, MintRequest } from "./types.js";

const requestsAtOnce = 10;

interface MintOptions extends ReadOptions {
  readonly outputs?: Iterable<StorePath> | undefined;
}

export class PresignedCache extends BinaryCache {
  readonly bucket: S3Uploader;
  readonly #log: Logger;
  readonly #minted = new MintedUploads();
  /** Answers that are being made, by owner. */
  readonly #minting = new Map<string, Set<Promise<unknown>>>();

  constructor(options: BinaryCacheOptions & { readonly bucket: S3Uploader }) {
    super(options);
    this.bucket = options.bucket;
    this.#log = options.logger ?? silentLogger;
  }

  /**
   * Signs URLs for those paths that the cache lacks, in the order of the requests. `owner` names on whose behalf.
   * `outputs` are what one execution makes: their narinfos appear together, when all of them are in the bucket.
   *
   * @throws BinaryCacheError `mismatch` when the cache has such an output of another execution
   */
  mint(owner: string, requests: readonly MintRequest[], options: MintOptions = {}): Promise<MintedNar[]> {
    const answer = this.#mint(owner, requests, options);
    const running = this.#minting.get(owner) ?? new Set();
    this.#minting.set(owner, running);
    const ended = answer
      .catch(() => undefined)
      .finally(() => {
        running.delete(ended);
        if (running.size === 0) this.#minting.delete(owner);
      });
    running.add(ended);
    return answer;
  }

  async #mint(owner: string, requests: readonly MintRequest[], options: MintOptions): Promise<MintedNar[]> {
    const presence = await this.hasNarInfos(
      requests.map(({ path }) => path),
      options,
    );
    this.#minted.together(owner, options.outputs ?? []);
    const there = requests.filter(({ path }) => presence.get(path) === "present");
    const own = there.filter(({ path }) => this.#minted.isOutput(owner, path));
    await this.demandSameContents(own, options);
    for (const { path } of own) this.#minted.settled(owner, path);
    // One that could not be asked for is uploaded: doing that in vain is better than a hole in the closure.
    const wanted = requests.filter(({ path }) => presence.get(path) !== "present");
    const minted = new Map<StorePath, MintedNar>();
    await mapLimited(wanted, requestsAtOnce, async (request) => {
      const remember = (key: string, uploadId: string): void =>
        this.#minted.remember(owner, request, key, uploadId);
      minted.set(request.path, await mintNar(this.bucket, this.settings, request, remember, options));
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
    this.#owned(this.#minted.of(owner), objectKey, uploadId);
    return this.bucket.multipart.presignParts({
      key: objectKey,
      uploadId,
      firstPart: startPartNumber,
      count: Math.min(numParts, 1000),
      expiresIn: this.settings.presignedUrlExpiry,
    });
  }

  /**
   * Ends an upload: completes its parts, checks what is stored, and publishes the signed narinfo, unless the path refers
   * to others that `owner` has yet to complete, or is one of several outputs: its narinfo then appears right after
   * theirs. After an error it may be called again.
   *
   * @throws BinaryCacheError: `missing` when `owner` asked for no such upload or an object is not there; `mismatch`
   */
  async complete(owner: string, upload: CompletedUpload, options: ReadOptions = {}): Promise<void> {
    const { narInfo } = upload;
    const minted = this.#minted.get(owner, narInfo.path);
    if (minted === undefined) {
      // The answer to the first call may have been lost.
      const presence = await this.hasNarInfos([narInfo.path], options);
      if (presence.get(narInfo.path) !== "present") {
        throw new BinaryCacheError("missing", `no upload of ${narInfo.path} was asked for`, {
          store: this.name,
        });
      }
    } else minted.ready = await this.#check(minted, upload, options);
    await this.#publishReady(owner, options);
  }

  /** Gives up what `owner` has not completed; its uploads in parts are aborted. Never throws. */
  async abandon(owner: string): Promise<void> {
    // An upload that is being begun at this moment would be forgotten.
    await Promise.all([...(this.#minting.get(owner) ?? [])]);
    for (const minted of this.#minted.take(owner)) await this.#abortParts(minted);
  }

  /** Aborts uploads in parts that were begun before `before` (ms since the epoch); how many there were. */
  async abortStale(before: number): Promise<number> {
    const mine = this.#minted.uploadIds();
    const unfinished = await this.bucket.multipart.listUnfinished({ prefix: "nar/", begunBefore: before });
    const stale = unfinished.filter(({ uploadId }) => !mine.has(uploadId));
    await mapLimited(stale, requestsAtOnce, ({ key, uploadId }) =>
      this.bucket.multipart.abort(key, uploadId),
    );
    return stale.length;
  }

  /** The narinfo to publish, once everything that belongs to it is in the bucket. */
  async #check(minted: Minted, upload: CompletedUpload, options: ReadOptions): Promise<NarInfo> {
    const { narInfo, multipart } = upload;
    const { request, key } = minted;
    const promised = narInfo.narSize === request.narSize && hashesEqual(narInfo.narHash, request.narHash);
    if (!promised || narInfo.url !== key) {
      throw new BinaryCacheError(
        "mismatch",
        `${narInfo.path}: the upload is not the one that was asked for`,
        { store: this.name, key },
      );
    }
    let present = upload.narAlreadyPresent;
    if (multipart !== undefined) {
      this.#owned([minted], multipart.objectKey, multipart.uploadId);
      present = (await this.#completeParts(minted, multipart, options)) || present;
    }
    if (this.settings.writeNarListing) {
      const ls = listingKey(narInfo.path);
      if ((await this.objects.head(ls, options)) === undefined) throw this.missing(ls);
    }
    const stored = present
      ? await this.#adopt(minted, upload, options)
      : this.settings.verifyUploads
        ? await this.verifyStoredNar(narInfo, key, options)
        : await this.#measure(narInfo, key, options);
    if (stored === undefined) throw this.missing(key);
    return { ...narInfo, ...stored, url: key, compression: this.settings.compression };
  }

  /**
   * Builders complete paths in any order. Making one of them wait for its references could keep those from being sent,
   * so it is the narinfo that waits, not the builder.
   */
  async #publishReady(owner: string, options: ReadOptions): Promise<void> {
    for (;;) {
      const unpublished = this.#minted.of(owner);
      const missing = new Set(unpublished.map(({ request }) => request.path));
      const outputsReady = this.#minted.outputsReady(owner);
      const next = unpublished.filter(
        ({ ready, request }) =>
          (outputsReady || !this.#minted.isOutput(owner, request.path)) &&
          ready?.references.every((reference) => reference === ready.path || !missing.has(reference)),
      );
      if (next.length === 0) return;
      await Promise.all(next.map((minted) => this.#publishOne(owner, minted, options)));
    }
  }

  #publishOne(owner: string, minted: Minted, options: ReadOptions): Promise<void> {
    const { ready } = minted;
    if (ready === undefined) return Promise.resolve();
    minted.publishing ??= (async () => {
      try {
        await this.publish(ready, options);
        this.#minted.forget(owner, minted.request.path);
      } finally {
        minted.publishing = undefined;
      }
      await this.#abortParts(minted);
    })();
    return minted.publishing;
  }

  #owned(candidates: readonly Minted[], key: string, uploadId: string): void {
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
      const result = await this.bucket.multipart.complete(key, uploadId, parts, complete);
      if (result === "written") completed.add(uploadId);
      return result === "present";
    } catch (error) {
      // The upload stays open, so that the builder can try again; unless it was completed already.
      if ((await this.objects.head(key, options).catch(() => undefined)) !== undefined) return true;
      throw error;
    }
  }

  /** Takes the NAR that is there. A damaged one must not stand in the way for ever: it gives way to the one sent. */
  async #adopt(
    minted: Minted,
    { narInfo, multipart }: CompletedUpload,
    options: ReadOptions,
  ): Promise<{ readonly fileHash: Hash; readonly fileSize: number } | undefined> {
    const { key } = minted;
    try {
      return await this.verifyStoredNar(narInfo, key, options);
    } catch (error) {
      options.signal?.throwIfAborted();
      if (multipart === undefined || !isDamage(error)) throw error;
      this.#log.warn("a stored NAR is unusable and will be replaced", { key, cache: this.name, error });
      const { uploadId, parts } = multipart;
      await this.bucket.multipart.complete(key, uploadId, parts, { ifAbsent: false, signal: options.signal });
      minted.completed.add(uploadId);
      return this.#measure(narInfo, key, options);
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

  async #abortParts(minted: Minted): Promise<void> {
    for (const uploadId of minted.uploadIds) {
      if (minted.completed.has(uploadId)) continue;
      await this.bucket.multipart.abort(minted.key, uploadId).catch((error: unknown) => {
        this.#log.warn("cannot abort an upload", { key: minted.key, cache: this.name, error });
      });
    }
  }
}

function isDamage(error: unknown): boolean {
  if (error instanceof CompressionError) return error.code !== "missing-program";
  return error instanceof BinaryCacheError && error.code === "mismatch";
}
