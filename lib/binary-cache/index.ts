/**
 * Binary caches: narinfos, NARs, listings, logs, debug links and realisations, onto S3 or into a folder.
 *
 * In this room lives everything that knows the layout of a cache and how objects get there: signing, presigned URLs,
 * what is present, and the queue of uploads. Formats are those of `lib/nix`, codecs those of `lib/compression`.
 */
export {
  BinaryCache,
  type BinaryCacheOptions,
  type OpenNar,
  type Presence,
  type UploadOptions,
} from "./cache/binary-cache.js";
export { type CacheSettings, parseCacheUri } from "./cache-uri.js";
export { BinaryCacheError, type BinaryCacheErrorCode } from "./errors.js";
export { FileCache } from "./objects/file-cache.js";
export type { ObjectFacts, ObjectStore, PutOptions, StoredObject } from "./objects/object-store.js";
export type { S3PresignedPart } from "./objects/s3-multipart.js";
export { S3Uploader } from "./objects/s3-uploader.js";
export { TrafficCounters, type TrafficReport } from "./objects/traffic.js";
export { type OpenCacheOptions, openBinaryCache } from "./open.js";
export { partPlan } from "./presigned/part-plan.js";
export { PresignedCache } from "./presigned/presigned-cache.js";
export type {
  CompletedUpload,
  MintedMultipart,
  MintedNar,
  MintedUpload,
  MintRequest,
} from "./presigned/types.js";
export {
  type UploadJob,
  UploadQueue,
  type UploadQueueOptions,
  type UploadRequest,
} from "./queue/upload-queue.js";
