/**
 * What a Unix service does around its work: signals, exit codes, inherited sockets, readiness messages, a lock.
 *
 * In this room lives what touches the process itself. It knows nothing of Hydra; whatever can fail because of how the
 * process was started is a `UsageError` or a `ProcessError`.
 *
 * With what programs need besides: errors, log and version of this package.
 */
export { errorChain, HydraError, isSystemError, UsageError } from "../errors.js";
export { createLogger, type LogFields, type Logger } from "../log.js";
export { LogLevels } from "../log-levels.js";
export { packageVersion } from "../version.js";
export { ProcessError } from "./errors.js";
export { openFilesLimit, requireFilesToLoad, requireOpenFiles } from "./file-limit.js";
export type { InheritedSocketsOptions, MutableEnvironment } from "./inherited-sockets.js";
export { inheritedSockets } from "./inherited-sockets.js";
export type { LockFile, LockFileOptions } from "./lock-file.js";
export { acquireLockFile } from "./lock-file.js";
export { onLogLevelSignals } from "./log-level-signals.js";
export type { ReloadSignal } from "./reload-signal.js";
export { onReloadSignal } from "./reload-signal.js";
export type { ProgramOptions } from "./run-program.js";
export { runProgram } from "./run-program.js";
export type { ShutdownSignals } from "./shutdown-signals.js";
export { shutdownSignals } from "./shutdown-signals.js";
export type { NotifyOptions, ServiceState } from "./systemd-notify.js";
export { notifySystemd, printServiceState, SystemdNotifier, watchdogIntervalMs } from "./systemd-notify.js";
