/** The counters of the runner: name in the code, name of the Prometheus family (without prefix), help text. */

/** Prefix of every family that other programs know by name. */
export const metricPrefix = "hydraqueuerunner_";

/** All only ever rise, and start at 0 with the process. Several names lack `_total`; dashboards rely on them. */
export const counterFamilies = {
  queueChecksStarted: ["queue_checks_started_total", "Scans of the builds table begun"],
  queueBuildLoads: ["queue_build_loads_total", "Builds whose ingestion was begun"],
  queueStepsCreated: ["queue_steps_created_total", "Steps created in memory"],
  queueChecksEarlyExits: ["queue_checks_early_exits_total", "Scans stopped by the configured time limit"],
  queueChecksFinished: ["queue_checks_finished_total", "Ingestions ended without error"],
  dispatcherRunningUs: ["dispatcher_time_spent_running_total", "Time spent dispatching, microseconds"],
  dispatcherWaitingUs: ["dispatcher_time_spent_waiting_total", "Time the dispatcher waited, microseconds"],
  monitorRunningUs: ["monitor_time_spent_running_total", "Time spent scanning the queue, microseconds"],
  monitorWaitingUs: ["monitor_time_spent_waiting_total", "Time the queue monitor waited, microseconds"],
  buildsRead: ["builds_read", "Builds added from the database"],
  buildReadMs: ["builds_read_time_ms", "Time spent reading builds, milliseconds; ingestions overlap"],
  buildsFinished: ["builds_finished", "Builds set finished"],
  stepsSucceeded: ["builds_succeeded", "Steps that succeeded (kept under its old name)"],
  stepsFailed: ["builds_failed", "Step attempts that failed (kept under its old name)"],
  stepsStarted: ["steps_started", "Steps handed to a machine"],
  stepsFinished: ["steps_finished", "Step attempts that ended"],
  unsupportedStepsAborted: ["steps_unsupported_aborted", "Steps given up since no machine supports them"],
  substitutesStarted: ["substitutes_started", "Outputs asked for from substituters"],
  substitutesSucceeded: ["substitutes_succeeded", "Outputs taken from substituters"],
  substitutesFailed: ["substitutes_failed", "Outputs that no substituter could give"],
  retries: ["steps_retries", "Failed attempts that are tried again"],
  stepTotalMs: ["steps_total_time_ms", "Time of all step attempts, milliseconds"],
  stepImportMs: ["steps_total_import_time_ms", "Time spent importing inputs, milliseconds"],
  stepBuildMs: ["steps_total_build_time_ms", "Time spent building, milliseconds"],
  stepUploadMs: ["steps_total_upload_time_ms", "Time spent uploading outputs, milliseconds"],
  queueWakeups: ["monitor_checks", "Database notifications received by the queue monitor"],
  dispatcherWakeups: ["dispatch_wakeup", "Dispatch passes"],
  dispatchMs: ["dispatch_time_ms", "Time of dispatch passes, milliseconds"],
  sortMs: ["sort_duration_ms_total", "Time spent sorting queues, milliseconds"],
  abortedJobs: ["aborted_jobs_total", "Jobs dropped at dispatch"],
  overflowQueued: ["overflow_copies_queued_total", "Copies from overflow to default store queued"],
  overflowSucceeded: ["overflow_copies_succeeded_total", "Copies from overflow to default store done"],
  overflowFailed: ["overflow_copies_failed_total", "Copies from overflow to default store failed"],
  databaseRetries: ["database_retries_total", "Transactions repeated after a conflict or a lost connection"],
  machinesLost: ["machines_lost_total", "Machines that left while they had jobs or missed their heartbeat"],
  staleReports: ["stale_reports_total", "Reports of builders about attempts that are no longer theirs"],
  logBytes: ["log_bytes_total", "Bytes of build logs received"],
  narBytesReceived: ["nar_received_bytes_total", "Bytes of NARs received from builders"],
  narBytesSent: ["nar_sent_bytes_total", "Bytes of NARs sent to builders"],
} as const;

export type CounterName = keyof typeof counterFamilies;

/**
 * Families of the runner's former store layer. Nothing fills them since the local store is reached through the
 * daemon; they stay for dashboards that would otherwise show gaps.
 */
export const emptyStoreFamilies: readonly string[] = [
  "store_nar_compression_savings",
  "store_nar_compression_speed",
  "store_nar_info_missing",
  "store_nar_info_read",
  "store_nar_info_read_averted",
  "store_nar_info_write",
  "store_nar_read",
  "store_nar_read_bytes",
  "store_nar_read_compressed_bytes",
  "store_nar_write",
  "store_nar_write_averted",
  "store_nar_write_bytes",
  "store_nar_write_compressed_bytes",
  "store_nar_write_compression_time_ms",
  "store_path_info_cache_size",
];
