/**
 * Binary caches: narinfos, NARs, listings, logs, debug links and realisations, onto S3 or into a folder.
 *
 * In this room lives everything that knows the layout of a cache and how objects get there. Formats are those of
 * `lib/nix`, codecs those of `lib/compression`. Its inner rooms:
 * - `objects`: named objects in a folder or a bucket; the only place that knows S3 and the AWS SDK
 * - `cache`: one cache: what is in it, and writing paths, logs and realisations in the right order
 * - `presigned`: uploads that builders make themselves with URLs signed here
 * - `queue`: uploads in the background, and their journal on disk
 */

/** One cache, and what its methods take and give. */
export {
  BinaryCache,
  type BinaryCacheOptions,
  isPresignedCache,
  type OpenNar,
  type Presence,
  type PresignedCache,
  type UploadOptions,
} from "./cache/binary-cache.js";
/** How a build log is written into a cache. */
export type { PutLogOptions } from "./cache/logs.js";
/** What is learned of a NAR while it passes. */
export type { NarInspection } from "./cache/nar-inspection.js";
/** A NAR that is written while it is received. */
export { type MeasuredNar, NarStage, type NarStageOptions, type StagedForm } from "./cache/nar-stage.js";
/** The object that a NAR is stored as, and how thoroughly one is verified. */
export type { StoredNar, VerifyOptions } from "./cache/stored-nars.js";
/** `s3://` and `file://` URIs with their parameters. */
export { type CacheSettings, parseCacheUri } from "./cache-uri.js";
/** What every method here throws. */
export { BinaryCacheError, type BinaryCacheErrorCode } from "./errors.js";
/** Objects as files in a folder. */
export { FileCache } from "./objects/file-cache.js";
/** What a cache needs of the place where its objects are. */
export type {
  ObjectFacts,
  ObjectStore,
  PutOptions,
  ReadOptions,
  StoredObject,
} from "./objects/object-store.js";
/** Credentials of an S3 account. */
export type { S3Credentials } from "./objects/s3-connection.js";
/** When objects of a bucket are copied in parts, and how large those are. */
export type { CopyLimits } from "./objects/s3-copy.js";
/** A part of a multipart upload, with its URL. */
export type {
  PartsToPresign,
  S3Multipart,
  S3PresignedPart,
  UnfinishedUpload,
  UploadedPart,
} from "./objects/s3-multipart.js";
/** Objects in an S3 bucket. */
export { S3Uploader, type S3UploaderOptions } from "./objects/s3-uploader.js";
/** Requests and bytes exchanged with a store. */
export { TrafficCounters, type TrafficReport } from "./objects/traffic.js";
/** Opens a cache by its URI: the usual way to get one. */
export { binaryCacheOn, type OpenCacheOptions, openBinaryCache } from "./open.js";
/** Sizes of the parts that builders upload. */
export { partPlan } from "./presigned/part-plan.js";
/** The capability `BinaryCache.presigned`. */
export { PresignedBucket, type PresignOptions } from "./presigned/presigned-bucket.js";
/** What builders ask for, get and report. */
export type {
  CompletedUpload,
  PresignedNarUrls,
  PresignedObject,
  PresignedParts,
  PresignRequest,
  PublishingCache,
} from "./presigned/types.js";
/** A build log that waits to be uploaded. */
export type { LogUpload } from "./queue/upload-journal.js";
/** Uploads in the background that survive a restart. */
export {
  type JobJournal,
  type UploadJob,
  UploadQueue,
  type UploadQueueOptions,
  type UploadRequest,
  type UploadTry,
} from "./queue/upload-queue.js";
/** What an upload wrote into a cache. */
export type { Written } from "./queue/upload-work.js";
