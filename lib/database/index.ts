/**
 * Hydra's PostgreSQL: its schema, the questions the runner asks, what it writes, notifications, ownership, and a server
 * of our own where there is none.
 *
 * Knows tables and the formats of Nix, nothing of schedulers, builders or HTTP. Statements that read live in
 * `queries/`, those that write results in `recording/`.
 *
 * Statements that the compiler can check by column go through drizzle; those that work on sets or take part in races
 * (arrays, CTEs, locks, ON CONFLICT) are SQL text. No other room imports drizzle or the driver.
 */

/** Database addresses as libpq writes them. */
export { type ConnectionSettings, connectionSettings } from "./connection-settings.js";
/** A PostgreSQL server of our own. */
export { EmbeddedPostgres, type EmbeddedPostgresOptions } from "./embedded/embedded-postgres.js";
/** The address of the embedded server. */
export { embeddedDatabaseUrl } from "./embedded/places.js";
/** What this room throws; see `code`. */
export { DatabaseError, type DatabaseErrorCode } from "./errors.js";
/** What an error of a statement means for trying again. */
export { type FailureKind, failureCode, failureKind } from "./failure-kinds.js";
/** The database, with a method for each question. */
export { HydraDatabase, type HydraDatabaseOptions } from "./hydra-database.js";
/** LISTEN/NOTIFY: what changed, and when to look at everything again. */
export { Listener, type ListenerOptions, type QueueChannel, queueChannels } from "./listener.js";
/** Creates the schema in an empty database, or checks that an existing one is usable. */
export { migrate, schemaVersion } from "./migrate.js";
/** Opens the database by its address, waiting for it; start here. */
export { type OpenHydraDatabaseOptions, openHydraDatabase } from "./open-hydra-database.js";
/** Ownership of the database by one runner. */
export { type LockOwner, OwnerLock, type OwnerLockOptions } from "./ownership/owner-lock.js";
/** The result of an earlier build with the same outputs. */
export type { EarlierBuild, EarlierMetric, EarlierProduct } from "./queries/earlier-build.js";
/** Tries at derivations that went wrong without being their fault. */
export { type EarlierTries, givenBackMessage, machineLeftMessage } from "./queries/earlier-tries.js";
/** What was built in a span of time. */
export type { BuildHistory, EndedBuild, EndedStep } from "./queries/history.js";
/** Jobsets with their shares, and the time they used. */
export type { JobsetRow, UsedTime } from "./queries/jobsets.js";
/** Outputs of derivations that are outputs themselves. */
export type { OutputChain } from "./queries/output-chains.js";
/** Rows that the status API reads. */
export type {
  AttemptRange,
  AttemptRow,
  BuildPageRow,
  EndedStepRow,
  MinuteRow,
  NamedBuildRow,
  OutputRow,
  ProductRow,
  ResultRow,
} from "./queries/page-rows.js";
/** What became of a request to cancel a build. */
export type { CancelResult } from "./queries/steer-build.js";
/** How long steps of one kind took. */
export type { StepKind } from "./queries/step-durations.js";
/** How the last attempt at a derivation ended. */
export type { StepState } from "./queries/step-state.js";
/** A build added by hand. */
export type { NewBuild } from "./queries/submit-build.js";
/** The queue. */
export type { BuildDigest, UnfinishedBuild, UnfinishedBuilds } from "./queries/unfinished-builds.js";
/** What a step took of its machine. */
export type { StepResourcesRow } from "./recording/step-resources.js";
/** The project and the jobset that a database of our own begins with. */
export { seedJobset } from "./seed.js";
/** What statements run on: the pool, or one connection inside a transaction. */
export type { QueryResult, Session, Transaction } from "./session.js";
/** Hydra's numbers of states and types, by name. */
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
/** How a transaction is run, and what keeps it from committing. */
export type { Fence, FenceEntry, TransactionOptions } from "./transaction.js";
