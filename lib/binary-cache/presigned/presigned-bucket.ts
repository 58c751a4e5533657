/**
 * Uploads into a bucket by builders, with URLs signed here.
 *
 * What was signed is remembered until the upload is completed or abandoned: a builder can complete only what it asked
 * for, and unfinished multipart uploads are aborted.
 */
import { aLogger, anObject, checkArgument } from "../../argument-checks.js";
import { mapLimited } from "../../async/index.js";
import type { Logger } from "../../log.js";
import type { NarInfo } from "../../nix/cache/nar-info.js";
import { hashesEqual } from "../../nix/path/hash.js";
import type { StorePath } from "../../nix/path/store-path.js";
import { BinaryCacheError } from "../errors.js";
import type { ReadOptions } from "../objects/object-store.js";
import type { S3PresignedPart } from "../objects/s3-multipart.js";
import type { S3Uploader } from "../objects/s3-uploader.js";
import { type PendingUpload, PendingUploads } from "./pending-uploads.js";
import { presignNar } from "./presign-nar.js";
import { requireAsked, SentUploads } from "./sent-uploads.js";
import type { CompletedUpload, PresignedNarUrls, PresignRequest, PublishingCache } from "./types.js";

const requestsAtOnce = 10;

/** How URLs are signed. */
export interface PresignOptions extends ReadOptions {
  readonly outputs?: Iterable<StorePath> | undefined;
}

/**
 * The capability of a cache in an S3 bucket that builders upload into it themselves. An `owner` is a name for the one on
 * whose behalf URLs are signed (an attempt, say); only it can ask for more parts, complete or abandon its uploads.
 */
export class PresignedBucket {
  readonly bucket: S3Uploader;
  readonly #cache: PublishingCache;
  readonly #pending = new PendingUploads();
  readonly #sent: SentUploads;
  /** Answers that are being made, by owner. */
  readonly #signing = new Map<string, Set<Promise<unknown>>>();

  constructor(cache: PublishingCache, bucket: S3Uploader, logger: Logger) {
    checkArgument("PresignedBucket", "cache", cache, anObject);
    checkArgument("PresignedBucket", "bucket", bucket, anObject);
    checkArgument("PresignedBucket", "logger", logger, aLogger);
    this.#cache = cache;
    this.bucket = bucket;
    this.#sent = new SentUploads(cache, bucket, logger);
  }

  /**
   * Signs URLs for those paths that the cache lacks, in the order of the requests. `owner` names on whose behalf.
   * `outputs` are what one execution makes: their narinfos appear together, when all of them are in the bucket.
   *
   * @throws BinaryCacheError `mismatch` when the cache has such an output of another execution
   */
  urls(
    owner: string,
    requests: readonly PresignRequest[],
    options: PresignOptions = {},
  ): Promise<PresignedNarUrls[]> {
    const answer = this.#sign(owner, requests, options);
    const running = this.#signing.get(owner) ?? new Set();
    this.#signing.set(owner, running);
    const ended = answer
      .catch(() => undefined)
      .finally(() => {
        running.delete(ended);
        if (running.size === 0) this.#signing.delete(owner);
      });
    running.add(ended);
    return answer;
  }

  /**
   * Until `release`, no narinfo of `owner` is published, so readers of the cache see nothing of it. `checked`: what
   * `complete` gave for it in an earlier process.
   */
  hold(owner: string, checked: Iterable<NarInfo> = []): void {
    this.#pending.hold(owner);
    for (const info of checked) this.#pending.restore(owner, info);
  }

  /**
   * Publishes what `owner` has completed, and from now on what it completes. May be called again after an error. Resolves
   * to the paths that it asked for and that are not published: they, or what they refer to, were not completed.
   *
   * @throws BinaryCacheError `mismatch` when the cache has such a path with other contents
   */
  async release(owner: string, options: ReadOptions = {}): Promise<readonly StorePath[]> {
    this.#pending.letGo(owner);
    await this.#publishReady(owner, options);
    return this.#pending.of(owner).map(({ request }) => request.path);
  }

  /** The narinfo of a path that `owner` has completed and that is not published yet. */
  checked(owner: string, path: StorePath): NarInfo | undefined {
    return this.#pending.get(owner, path)?.ready;
  }

  async #sign(
    owner: string,
    requests: readonly PresignRequest[],
    options: PresignOptions,
  ): Promise<PresignedNarUrls[]> {
    const presence = await this.#cache.hasNarInfos(
      requests.map(({ path }) => path),
      options,
    );
    this.#pending.together(owner, options.outputs ?? []);
    const there = requests.filter(({ path }) => presence.get(path) === "present");
    const own = there.filter(({ path }) => this.#pending.isOutput(owner, path));
    await this.#cache.demandSameContents(own, options);
    for (const { path } of own) this.#pending.settled(owner, path);
    // One that could not be asked for is uploaded: doing that in vain is better than a hole in the closure.
    const wanted = requests.filter(
      (request) => presence.get(request.path) !== "present" && !this.#isChecked(owner, request),
    );
    const signed = new Map<StorePath, PresignedNarUrls>();
    await mapLimited(wanted, requestsAtOnce, async (request) => {
      const remember = (key: string, uploadId: string): void =>
        this.#pending.remember(owner, request, key, uploadId);
      signed.set(
        request.path,
        await presignNar(this.bucket, this.#cache.settings, request, remember, options),
      );
    });
    return wanted.map(({ path }) => signed.get(path)).filter((nar) => nar !== undefined);
  }

  /** The same was completed already, and waits for its release. */
  #isChecked(owner: string, { path, narHash, narSize }: PresignRequest): boolean {
    if (!this.#pending.isHeld(owner)) return false;
    const ready = this.checked(owner, path);
    return ready !== undefined && ready.narSize === narSize && hashesEqual(ready.narHash, narHash);
  }

  /** More parts of an upload that `owner` has. @throws BinaryCacheError (`missing`) when it has no such upload */
  async partUrls(
    owner: string,
    request: {
      readonly objectKey: string;
      readonly uploadId: string;
      readonly startPartNumber: number;
      readonly numParts: number;
    },
  ): Promise<S3PresignedPart[]> {
    const { objectKey, uploadId, startPartNumber, numParts } = request;
    requireAsked(this.#cache.name, this.#pending.of(owner), objectKey, uploadId);
    return this.bucket.multipart.presignParts({
      key: objectKey,
      uploadId,
      firstPart: startPartNumber,
      count: Math.min(numParts, 1000),
      expiresIn: this.#cache.settings.presignedUrlExpiry,
    });
  }

  /**
   * Ends an upload: completes its parts, checks what is stored, and publishes the signed narinfo, unless the path refers
   * to others that `owner` has yet to complete, or is one of several outputs: its narinfo then appears right after
   * theirs. What is held waits for its release. After an error it may be called again.
   *
   * Resolves to what was checked now; undefined when the path was published before.
   *
   * @throws BinaryCacheError: `missing` when `owner` asked for no such upload or an object is not there; `mismatch`
   */
  async complete(
    owner: string,
    upload: CompletedUpload,
    options: ReadOptions = {},
  ): Promise<NarInfo | undefined> {
    const { narInfo } = upload;
    const pending = this.#pending.get(owner, narInfo.path);
    if (pending === undefined) {
      // The answer to the first call may have been lost.
      const presence = await this.#cache.hasNarInfos([narInfo.path], options);
      if (presence.get(narInfo.path) !== "present") {
        throw new BinaryCacheError("missing", `no upload of ${narInfo.path} was asked for`, {
          store: this.#cache.name,
        });
      }
    } else pending.ready = await this.#sent.check(pending, upload, options);
    if (!this.#pending.isHeld(owner)) await this.#publishReady(owner, options);
    return pending?.ready;
  }

  /** Gives up what `owner` has not completed; its uploads in parts are aborted. Never throws. */
  async abandon(owner: string): Promise<void> {
    // An upload that is being begun at this moment would be forgotten.
    await Promise.all([...(this.#signing.get(owner) ?? [])]);
    for (const pending of this.#pending.take(owner)) await this.#sent.abort(pending);
  }

  /** Aborts uploads in parts that were begun before `before` (ms since the epoch); how many there were. */
  async abortStale(before: number): Promise<number> {
    const mine = this.#pending.uploadIds();
    const unfinished = await this.bucket.multipart.listUnfinished({ prefix: "nar/", begunBefore: before });
    const stale = unfinished.filter(({ uploadId }) => !mine.has(uploadId));
    await mapLimited(stale, requestsAtOnce, ({ key, uploadId }) =>
      this.bucket.multipart.abort(key, uploadId),
    );
    return stale.length;
  }

  /**
   * Builders complete paths in any order. Making one of them wait for its references could keep those from being sent,
   * so it is the narinfo that waits, not the builder.
   */
  async #publishReady(owner: string, options: ReadOptions): Promise<void> {
    for (;;) {
      const unpublished = this.#pending.of(owner);
      const missing = new Set(unpublished.map(({ request }) => request.path));
      const outputsReady = this.#pending.outputsReady(owner);
      const next = unpublished.filter(
        ({ ready, request }) =>
          (outputsReady || !this.#pending.isOutput(owner, request.path)) &&
          ready?.references.every((reference) => reference === ready.path || !missing.has(reference)),
      );
      if (next.length === 0) return;
      await Promise.all(next.map((pending) => this.#publishOne(owner, pending, options)));
    }
  }

  #publishOne(owner: string, pending: PendingUpload, options: ReadOptions): Promise<void> {
    const { ready } = pending;
    if (ready === undefined) return Promise.resolve();
    pending.publishing ??= (async () => {
      try {
        await this.#cache.publish(ready, options);
        this.#pending.forget(owner, pending.request.path);
      } finally {
        pending.publishing = undefined;
      }
      await this.#sent.abort(pending);
    })();
    return pending.publishing;
  }
}
