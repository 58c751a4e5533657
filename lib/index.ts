/**
 * Continuous builds for Nix, as a library: everything the two programs are made of.
 *
 * Each room is also an entry point of its own (`hydra-runner/nix`, `hydra-runner/scheduler`, …) with more names than
 * are gathered here. Each name comes from its own file, not from the entrance of its room, which would load the rest of
 * the room with it.
 */
export { BinaryCache } from "./binary-cache/cache/binary-cache.js";
export { FileCache } from "./binary-cache/objects/file-cache.js";
export { S3Uploader } from "./binary-cache/objects/s3-uploader.js";
export { binaryCacheOn } from "./binary-cache/open.js";
export { UploadQueue } from "./binary-cache/queue/upload-queue.js";
export type { Brand } from "./brand.js";
export { BuilderClient } from "./builder/builder-client.js";
export type { BuilderClientOptions } from "./builder/options.js";
export { defineBuilderConfig, loadBuilderConfig } from "./config/builder-config.js";
export { defineQueueRunnerConfig, loadQueueRunnerConfig } from "./config/queue-runner-config.js";
export type { BuilderConfig, QueueRunnerConfig } from "./config/types.js";
export { EmbeddedPostgres } from "./database/embedded/embedded-postgres.js";
export { HydraDatabase } from "./database/hydra-database.js";
export { openHydraDatabase } from "./database/open-hydra-database.js";
export { HydraError, UsageError } from "./errors.js";
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
export { Signer } from "./nix/cache/signer.js";
export { DaemonStore } from "./nix/daemon/daemon-store.js";
export { openStore } from "./nix/daemon/open-store.js";
export { parseDerivation } from "./nix/derivation/parser.js";
export type { StorePath } from "./nix/path/store-path.js";
export type { Store } from "./nix/store/store.js";
export { RunnerServer } from "./rpc/server/runner-server.js";
export type { QueueRunnerOptions } from "./runner/options.js";
export { QueueRunner } from "./runner/queue-runner.js";
export {
  bogomipsWithSpeedFactor,
  cpuCoreCountWithSpeedFactor,
  JobsetShares,
  MachinePool,
  RetryPolicy,
  Scheduler,
  speedFactorOnly,
} from "./scheduler/index.js";
export { Metrics, StatusRouter, StatusServer } from "./status/index.js";
