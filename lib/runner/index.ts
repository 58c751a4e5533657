/**
 * The queue runner: everything between the database, the scheduler, the builders and the binary cache.
 *
 * In this room live the queue monitor, ingestion, the dispatcher, the builders' sessions, the recording of results and
 * the log store. Decisions about what to build next are the scheduler's.
 */
export { type CheckConfigOptions, checkQueueRunnerConfig } from "./check-config.js";
export { RunnerError, type RunnerErrorCode } from "./errors.js";
export type { QueueRunnerOptions } from "./options.js";
export { LogStore, type LogStoreOptions, type LogWriter } from "./outputs/log-store.js";
export { QueueRunner, type RunnerExit } from "./queue-runner.js";
