/** What is asked for, signed and reported when builders write into a bucket themselves. */

import type { NarInfo } from "../../nix/cache/nar-info.js";
import type { Hash } from "../../nix/path/hash.js";
import type { StorePath } from "../../nix/path/store-path.js";
import type { ValidPathInfo } from "../../nix/store/path-info.js";
import type { Presence } from "../cache/presence-query.js";
import type { StoredNar } from "../cache/stored-nars.js";
import type { CacheSettings } from "../cache-uri.js";
import type { ReadOptions } from "../objects/object-store.js";
import type { S3PresignedPart, UploadedPart } from "../objects/s3-multipart.js";

/**
 * A path that a builder wants to upload: hash and size of its uncompressed NAR, and the build ids (hex) it has debug
 * information for.
 */
export interface PresignRequest {
  readonly path: StorePath;
  readonly narHash: Hash;
  readonly narSize: number;
  readonly debugInfoBuildIds: readonly string[];
}

/** A multipart upload, and URLs for its first parts. `partSize` is in bytes; only the last part may be shorter. */
export interface PresignedParts {
  readonly uploadId: string;
  readonly partSize: number;
  /** Dense, from part 1. */
  readonly parts: readonly S3PresignedPart[];
}

/** A URL that takes one object, and how the object is to be compressed. */
export interface PresignedObject {
  /** Object key. */
  readonly path: string;
  readonly url: string;
  readonly compression: string;
  /** 0 = the method's usual level. */
  readonly compressionLevel: number;
  readonly multipart: PresignedParts | undefined;
}

/** All URLs for one path. */
export interface PresignedNarUrls {
  readonly path: StorePath;
  /** The `URL` of the narinfo. */
  readonly narUrl: string;
  readonly narUpload: PresignedObject;
  readonly lsUpload: PresignedObject | undefined;
  /** One for every build id that was sent, or none. */
  readonly debugInfoUploads: readonly PresignedObject[];
}

/** A builder's report that it has uploaded a path. */
export interface CompletedUpload {
  /** As the builder reports it; what was not measured here is taken from the request it was signed for. */
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

/** What presigned uploads need of the cache that they go into. */
export interface PublishingCache {
  readonly name: string;
  readonly settings: CacheSettings;
  hasNarInfos(paths: Iterable<StorePath>, options?: ReadOptions): Promise<Map<StorePath, Presence>>;
  demandSameContents(
    infos: readonly Pick<ValidPathInfo, "path" | "narHash">[],
    options?: ReadOptions,
  ): Promise<void>;
  verifyStoredNar(info: ValidPathInfo, key: string, options?: ReadOptions): Promise<StoredNar | undefined>;
  publish(info: NarInfo, options?: ReadOptions): Promise<void>;
}
