/**
 * Hydra's PostgreSQL: its schema, the questions the runner asks, what it writes, notifications, ownership, and a server
 * of our own where there is none.
 *
 * Knows tables and the formats of Nix, nothing of schedulers, builders or HTTP. Statements that read live in
 * `queries/`, those that write results in `recording/`.
 */
export { type ConnectionSettings, connectionSettings } from "./connection-settings.js";
export { EmbeddedPostgres, type EmbeddedPostgresOptions } from "./embedded/embedded-postgres.js";
export { embeddedDatabaseUrl } from "./embedded/places.js";
export { DatabaseError, type DatabaseErrorCode } from "./errors.js";
export { type FailureKind, failureCode, failureKind } from "./failure-kinds.js";
export { HydraDatabase, type HydraDatabaseOptions } from "./hydra-database.js";
export { Listener, type ListenerOptions, type QueueChannel, queueChannels } from "./listener.js";
export { migrate, schemaVersion } from "./migrate.js";
export { type OpenHydraDatabaseOptions, openHydraDatabase } from "./open-hydra-database.js";
export { OwnerLock, type OwnerLockOptions } from "./owner-lock.js";
export type { EarlierBuild, EarlierMetric, EarlierProduct } from "./queries/earlier-build.js";
export { type EarlierTries, givenBackMessage, machineLeftMessage } from "./queries/earlier-tries.js";
export type { BuildHistory, EndedBuild, EndedStep } from "./queries/history.js";
export type { JobsetRow, UsedTime } from "./queries/jobsets.js";
export type { OutputChain } from "./queries/output-chains.js";
export type { StepKind } from "./queries/step-durations.js";
export type { StepState } from "./queries/step-state.js";
export type { NewBuild } from "./queries/submit-build.js";
export type { BuildDigest, UnfinishedBuild, UnfinishedBuilds } from "./queries/unfinished-builds.js";
export * as schema from "./schema/index.js";
export { seedJobset } from "./seed.js";
export type { QueryResult, Session, Transaction } from "./session.js";
export {
  type BuildStatus,
  buildStatus,
  type StepStatus,
  type StepType,
  type SuccessStatus,
  stepBusy,
  stepStatus,
  stepType,
} from "./status-numbers.js";
export type { Fence, TransactionOptions } from "./transaction.js";
