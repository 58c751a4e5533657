/**
 * The queue runner: everything between the database, the scheduler, the builders and the binary cache. Decisions about
 * what to build next are the scheduler's.
 *
 * Inner rooms, in the order of a build's life; each imports from those before it only:
 * - `events`: what happens, as plain data, and the bus that brings it to listeners
 * - `state`: what the runner knows at present, and the running scheduler with clock, randomness and effects
 * - `recording`: outcomes become rows and notifications, in transactions that are retried
 * - `outputs`: where logs and outputs go. `logs`: on disk; `arriving`: from builders into the store; `presigned`: uploads
 *   that builders make themselves; `uploads`: into binary caches and other stores
 * - `ingestion`: new builds become steps in the scheduler's graph
 * - `attempt`: one try to run a step, from its machine to its outcome; the builders' sessions
 * - `service`: what answers calls of builders and questions of the status API
 */

/** Validates a configuration without starting. */
export { type CheckConfigOptions, checkQueueRunnerConfig } from "./check-config.js";
/** What the runner throws. */
export { RunnerError, type RunnerErrorCode } from "./errors.js";
/** What happens in a runner; `QueueRunner.on` and `QueueRunner.events` give them. */
export { EventBus } from "./events/event-bus.js";
/** What happens in a runner. */
export type * from "./events/index.js";
/** How a `QueueRunner` ends. */
export type { RunnerExit } from "./life.js";
/** What a `QueueRunner` is made with. */
export type { QueueRunnerOptions } from "./options.js";
/** Build logs on disk, where the front-end reads them. */
export type { LogFile, LogWriter } from "./outputs/logs/log-file.js";
/** Build logs on disk, where the front-end reads them. */
export { LogStore, type LogStoreOptions } from "./outputs/logs/log-store.js";
/** Rules as functions. */
export type { RunnerPolicies } from "./policies.js";
/** The runner itself; start here. */
export { QueueRunner } from "./queue-runner.js";
/** What `QueueRunner.enqueue` takes. */
export type { EnqueueRequest } from "./service/requests.js";
/** Own code that takes part. */
export type { LogChunk, Notifier, RunnerSinks, TracedOrder } from "./sinks.js";
