/**
 * Continuous builds for Nix, as a library: everything the two programs are made of.
 *
 * Each room is also an entry point of its own (`hydra-runner/nix`, `hydra-runner/scheduler`, …) with more names than
 * are gathered here.
 */
export { BinaryCache, binaryCacheOn, FileCache, S3Uploader, UploadQueue } from "./binary-cache/index.js";
export { BuilderClient, type BuilderClientOptions } from "./builder/index.js";
export {
  type BuilderConfig,
  defineBuilderConfig,
  defineQueueRunnerConfig,
  loadBuilderConfig,
  loadQueueRunnerConfig,
  type QueueRunnerConfig,
} from "./config/index.js";
// Not from the entrance of the room, which has the tables and with them drizzle.
export { EmbeddedPostgres } from "./database/embedded/embedded-postgres.js";
export { HydraDatabase } from "./database/hydra-database.js";
export { openHydraDatabase } from "./database/open-hydra-database.js";
export { HydraError, UsageError } from "./errors.js";
export { createLogger, type Logger } from "./log.js";
export { LogLevels } from "./log-levels.js";
export { DaemonStore, openStore, parseDerivation, Signer, type Store, type StorePath } from "./nix/index.js";
// Without the client, which is loaded by those who join a runner.
export { RunnerServer } from "./rpc/server/index.js";
export { QueueRunner, type QueueRunnerOptions } from "./runner/index.js";
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
