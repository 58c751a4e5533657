/**
 * Continuous builds for Nix, as a library: everything the two programs are made of.
 *
 * Each room is also an entry point of its own (`hydra-runner/nix`, `hydra-runner/scheduler`, …) with more names than
 * are gathered here. Each name comes from its own file, not from the entrance of its room, which would load the rest of
 * the room with it.
 */

/** A binary cache in a folder or a bucket; `binaryCacheOn` opens one on a store of objects of your own. */
export { BinaryCache } from "./binary-cache/cache/binary-cache.js";
export { FileCache } from "./binary-cache/objects/file-cache.js";
export { S3Uploader } from "./binary-cache/objects/s3-uploader.js";
export { binaryCacheOn } from "./binary-cache/open.js";
/** Uploads in the background that survive a restart. */
export { UploadQueue } from "./binary-cache/queue/upload-queue.js";
/** Nominal types: ids, hashes and store paths are branded. */
export type { Brand } from "./brand.js";
/** One build machine. */
export { BuilderClient } from "./builder/builder-client.js";
export type { BuilderClientOptions } from "./builder/options.js";
/** Settings of the two programs, from a file or from an object. */
export { defineBuilderConfig, loadBuilderConfig } from "./config/builder-config.js";
export { defineQueueRunnerConfig, loadQueueRunnerConfig } from "./config/queue-runner-config.js";
export type { BuilderConfig, QueueRunnerConfig } from "./config/types.js";
/** Hydra's database, and a PostgreSQL server of our own for it. */
export { EmbeddedPostgres } from "./database/embedded/embedded-postgres.js";
export { HydraDatabase } from "./database/hydra-database.js";
export { openHydraDatabase } from "./database/open-hydra-database.js";
/** The root of all errors of this package, and wrong use of it. */
export { HydraError, UsageError } from "./errors.js";
/** Logging: to a stream as JSON or text, or to a library of your own. */
export {
  createLogger,
  type LogFields,
  type LogFormat,
  type Logger,
  type LoggerOptions,
  type LogLevel,
  loggerOn,
} from "./log.js";
export type { LineFolder } from "./log-fold.js";
export { type FilterLevel, type FilterReader, type LevelOfTarget, LogLevels } from "./log-levels.js";
/** Signs store paths. */
export { Signer } from "./nix/cache/signer.js";
/** A Nix store behind a daemon. */
export { DaemonStore } from "./nix/daemon/daemon-store.js";
export { openStore } from "./nix/daemon/open-store.js";
/** Reads the ATerm text of a `.drv` file. */
export { parseDerivation } from "./nix/derivation/parser.js";
/** The base name of a store path, and the interface of a store. */
export type { StorePath } from "./nix/path/store-path.js";
export type { Store } from "./nix/store/store.js";
/** The gRPC server that builders connect to. */
export { RunnerServer } from "./rpc/server/runner-server.js";
/** The queue runner. */
export type { QueueRunnerOptions } from "./runner/options.js";
export { QueueRunner } from "./runner/queue-runner.js";
/** The pure scheduler and its parts. */
export {
  bogomipsWithSpeedFactor,
  cpuCoreCountWithSpeedFactor,
  JobsetShares,
  MachinePool,
  RetryPolicy,
  Scheduler,
  speedFactorOnly,
} from "./scheduler/index.js";
/** Metrics and the status API. */
export { Metrics, StatusRouter, StatusServer } from "./status/index.js";
