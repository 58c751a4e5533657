/**
 * What a Unix service does around its work: signals, exit codes, inherited sockets, readiness messages, a lock.
 *
 * In this room lives what touches the process itself. It knows nothing of Hydra; whatever can fail because of how the
 * process was started is a `UsageError` or a `ProcessError`.
 *
 * With what programs need besides: errors, log and version of this package.
 */

/** The root of all errors of this package, and how they are printed. */
export { errorChain, HydraError, isSystemError, UsageError } from "../errors.js";
/** The log of a program. */
export { createLogger, type LogFields, type Logger } from "../log.js";
/** Levels of a log that change while the program works. */
export { LogLevels } from "../log-levels.js";
/** Version of this package. */
export { packageVersion } from "../version.js";
/** What a service cannot do; see `code`. */
export { ProcessError } from "./errors.js";
/** How many files the process may have open, and how many it needs. */
export { openFilesLimit, requireFilesToLoad, requireOpenFiles } from "./file-limit.js";
/** Sockets of systemd's socket activation. */
export {
  type InheritedSocketsOptions,
  inheritedSockets,
  type MutableEnvironment,
} from "./inherited-sockets.js";
/** One instance per data folder; the Rust programs respect the same lock. */
export { acquireLockFile, type LockFile, type LockFileOptions } from "./lock-file.js";
/** SIGUSR1 and SIGUSR2 as "say more" and "say less". */
export { onLogLevelSignals } from "./log-level-signals.js";
/** The log's way to standard error: a reader that stands still costs lines, and nothing else. */
export { type LogOutputOptions, logOutput } from "./log-output.js";
/** An answer on standard output, to a reader that may be slow or have had enough. */
export { printOut } from "./print-out.js";
/** Reloading settings on SIGHUP. */
export { onReloadSignal, type ReloadSignal } from "./reload-signal.js";
/** The frame of a `main`: errors become one line and an exit code. */
export { type ProgramOptions, runProgram } from "./run-program.js";
/** The two steps of stopping: the first SIGTERM or SIGINT asks for it, the second one insists. */
export { type ShutdownSignals, shutdownSignals } from "./shutdown-signals.js";
/** Keeps V8's heap close to what is used; for programs that run for months. */
export { keepHeapSmall } from "./small-heap.js";
/** Readiness, status and watchdog messages for systemd. */
export {
  type NotifyOptions,
  notifySystemd,
  printServiceState,
  type ServiceState,
  SystemdNotifier,
  watchdogIntervalMs,
} from "./systemd-notify.js";
/** Folders that the program must be able to write. */
export { requireWritableFolder } from "./writable-folder.js";
