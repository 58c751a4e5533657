/** What is in the bucket after an upload of a builder, compared with what it asked for and what it says. */
import { CompressionError } from "../../compression/index.js";
import type { Logger } from "../../log.js";
import type { NarInfo } from "../../nix/cache/nar-info.js";
import { type Hash, hashesEqual } from "../../nix/path/hash.js";
import { BinaryCacheError, missingObject } from "../errors.js";
import { listingKey } from "../layout.js";
import type { ReadOptions } from "../objects/object-store.js";
import type { S3Uploader } from "../objects/s3-uploader.js";
import type { PendingUpload } from "./pending-uploads.js";
import type { CompletedUpload, PublishingCache } from "./types.js";

/** Finishes uploads in the bucket, or aborts them. It publishes nothing. */
export class SentUploads {
  readonly #cache: Pick<PublishingCache, "name" | "settings" | "verifyStoredNar">;
  readonly #bucket: S3Uploader;
  readonly #logger: Logger;

  constructor(cache: PublishingCache, bucket: S3Uploader, logger: Logger) {
    this.#cache = cache;
    this.#bucket = bucket;
    this.#logger = logger;
  }

  /**
   * The narinfo to publish, once everything that belongs to it is in the bucket. Its parts are put together first.
   *
   * @throws BinaryCacheError: `mismatch` when the upload is not the one that was asked for, `missing`
   */
  async check(pending: PendingUpload, upload: CompletedUpload, options: ReadOptions): Promise<NarInfo> {
    const { narInfo, multipart } = upload;
    const { request, key } = pending;
    const promised = narInfo.narSize === request.narSize && hashesEqual(narInfo.narHash, request.narHash);
    if (!promised || narInfo.url !== key) {
      throw new BinaryCacheError(
        "mismatch",
        `${narInfo.path}: the upload is not the one that was asked for`,
        { store: this.#cache.name, key },
      );
    }
    let present = upload.narAlreadyPresent;
    if (multipart !== undefined) {
      requireAsked(this.#cache.name, [pending], multipart.objectKey, multipart.uploadId);
      present = (await this.#completeParts(pending, multipart, options)) || present;
    }
    if (this.#cache.settings.writeNarListing) {
      const ls = listingKey(narInfo.path);
      if ((await this.#bucket.head(ls, options)) === undefined) throw missingObject(this.#cache.name, ls);
    }
    const stored = present
      ? await this.#adopt(pending, upload, options)
      : this.#cache.settings.verifyUploads
        ? await this.#cache.verifyStoredNar(narInfo, key, options)
        : await this.#measure(narInfo, key, options);
    if (stored === undefined) throw missingObject(this.#cache.name, key);
    return { ...narInfo, ...stored, url: key, compression: this.#cache.settings.compression };
  }

  /** Aborts what is unfinished of an upload in parts. Never throws. */
  async abort(pending: PendingUpload): Promise<void> {
    for (const uploadId of pending.uploadIds) {
      if (pending.completed.has(uploadId)) continue;
      await this.#bucket.multipart.abort(pending.key, uploadId).catch((error: unknown) => {
        this.#logger.warn("cannot abort an upload", { key: pending.key, cache: this.#cache.name, error });
      });
    }
  }

  /** Whether another upload had the same object there first. */
  async #completeParts(
    pending: PendingUpload,
    multipart: NonNullable<CompletedUpload["multipart"]>,
    options: ReadOptions,
  ): Promise<boolean> {
    const { uploadId, parts } = multipart;
    const { key, completed } = pending;
    if (completed.has(uploadId)) return false;
    try {
      const complete = { ifAbsent: true, signal: options.signal };
      const result = await this.#bucket.multipart.complete(key, uploadId, parts, complete);
      if (result === "written") completed.add(uploadId);
      return result === "present";
    } catch (error) {
      // The upload stays open, so that the builder can try again; unless it was completed already.
      if ((await this.#bucket.head(key, options).catch(() => undefined)) !== undefined) return true;
      throw error;
    }
  }

  /** Takes the NAR that is there. A damaged one is replaced by the one sent, or it would block the path permanently. */
  async #adopt(
    pending: PendingUpload,
    { narInfo, multipart }: CompletedUpload,
    options: ReadOptions,
  ): Promise<{ readonly fileHash: Hash; readonly fileSize: number } | undefined> {
    const { key } = pending;
    try {
      return await this.#cache.verifyStoredNar(narInfo, key, options);
    } catch (error) {
      options.signal?.throwIfAborted();
      if (multipart === undefined || !isDamage(error)) throw error;
      this.#logger.warn("a stored NAR is unusable and will be replaced", {
        key,
        cache: this.#cache.name,
        error,
      });
      const { uploadId, parts } = multipart;
      await this.#bucket.multipart.complete(key, uploadId, parts, {
        ifAbsent: false,
        signal: options.signal,
      });
      pending.completed.add(uploadId);
      return this.#measure(narInfo, key, options);
    }
  }

  async #measure(
    info: NarInfo,
    key: string,
    options: ReadOptions,
  ): Promise<{ readonly fileHash: Hash; readonly fileSize: number } | undefined> {
    if (info.fileHash === undefined) return this.#cache.verifyStoredNar(info, key, options);
    const facts = await this.#bucket.head(key, options);
    if (facts === undefined) return undefined;
    if (info.fileSize !== undefined && info.fileSize !== facts.size) {
      throw new BinaryCacheError(
        "mismatch",
        `'${key}' has ${facts.size} bytes, not the ${info.fileSize} that the builder sent`,
        { store: this.#cache.name, key },
      );
    }
    return { fileHash: info.fileHash, fileSize: facts.size };
  }
}

/** @throws BinaryCacheError `missing` when none of `candidates` is that upload in parts */
export function requireAsked(
  cache: string,
  candidates: readonly PendingUpload[],
  key: string,
  uploadId: string,
): void {
  if (candidates.some((pending) => pending.key === key && pending.uploadIds.has(uploadId))) return;
  throw new BinaryCacheError("missing", `no such upload of '${key}' was asked for`, { store: cache, key });
}

function isDamage(error: unknown): boolean {
  if (error instanceof CompressionError) return error.code !== "missing-program";
  return error instanceof BinaryCacheError && error.code === "mismatch";
}
