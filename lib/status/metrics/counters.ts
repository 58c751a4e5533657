/** The counters of the runner: name in the code, name of the Prometheus family (without prefix), help text. */

/** Prefix of the families that other programs know by name. */
export const metricPrefix = "hydraqueuerunner_";

/**
 * By name in the code: family and help text. All start at 0 with the process and only rise. Several names lack
 * `_total`; dashboards rely on them. A family that this runner has no figure for says "always 0" in its help text and
 * stays for dashboards that would otherwise show gaps.
 */
export const counterFamilies = {
  queueChecksStarted: ["queue_checks_started_total", "Queue passes (scans of the builds table) started"],
  queueBuildLoads: ["queue_build_loads_total", "Builds whose ingestion was started"],
  queueStepsCreated: ["queue_steps_created_total", "Steps added to the scheduler"],
  queueChecksEarlyExits: [
    "queue_checks_early_exits_total",
    "Queue passes interrupted by stopQueueRunAfterInS; the next pass continues",
  ],
  queueChecksFinished: ["queue_checks_finished_total", "Queue passes that completed without error"],
  dispatcherRunningUs: ["dispatcher_time_spent_running_total", "Time in dispatch rounds, microseconds"],
  dispatcherWaitingUs: ["dispatcher_time_spent_waiting_total", "Time between dispatch rounds, microseconds"],
  monitorRunningUs: ["monitor_time_spent_running_total", "Time in successful queue passes, microseconds"],
  monitorWaitingUs: ["monitor_time_spent_waiting_total", "Time between queue passes, microseconds"],
  buildsRead: ["builds_read", "Builds ingested from the database"],
  buildReadMs: ["builds_read_time_ms", "Time spent ingesting builds, milliseconds"],
  buildsFinished: ["builds_finished", "Builds marked finished in the database"],
  stepsSucceeded: ["builds_succeeded", "Steps that succeeded (steps, not builds: the name is historical)"],
  stepsFailed: ["builds_failed", "Step attempts that failed (attempts, not builds: the name is historical)"],
  stepsStarted: ["steps_started", "Step attempts assigned to a machine"],
  stepsFinished: ["steps_finished", "Step attempts that ended, successful or not"],
  unsupportedStepsAborted: [
    "steps_unsupported_aborted",
    "Steps aborted because no machine supported them for maxUnsupportedTimeInS",
  ],
  substitutesStarted: ["substitutes_started", "Outputs requested from substituters"],
  substitutesSucceeded: ["substitutes_succeeded", "Outputs fetched from substituters"],
  substitutesFailed: ["substitutes_failed", "Outputs that no substituter could provide"],
  retries: ["steps_retries", "Failed step attempts that are retried"],
  stepTotalMs: ["steps_total_time_ms", "Duration of all step attempts, milliseconds"],
  stepImportMs: ["steps_total_import_time_ms", "Time builders spent importing inputs, milliseconds"],
  stepBuildMs: ["steps_total_build_time_ms", "Time builders spent building, milliseconds"],
  stepUploadMs: ["steps_total_upload_time_ms", "Time builders spent uploading outputs, milliseconds"],
  queueWakeups: ["monitor_checks", "Database notifications received by the queue monitor"],
  dispatcherWakeups: ["dispatch_wakeup", "Dispatch rounds"],
  dispatchMs: ["dispatch_time_ms", "Time in dispatch rounds, milliseconds"],
  sortMs: ["sort_duration_ms_total", "Always 0: the queues are heaps and need no sorting"],
  abortedJobs: [
    "aborted_jobs_total",
    "Running step attempts aborted by the runner, mostly because no build wants them any more",
  ],
  overflowQueued: ["overflow_copies_queued_total", "Copies from the overflow store queued"],
  overflowSucceeded: ["overflow_copies_succeeded_total", "Copies from the overflow store that succeeded"],
  overflowFailed: ["overflow_copies_failed_total", "Copies from the overflow store that failed permanently"],
  databaseRetries: [
    "database_retries_total",
    "Transactions retried after a serialization conflict or a lost connection",
  ],
  machinesLost: ["machines_lost_total", "Machines that left with running jobs or missed their heartbeat"],
  staleReports: ["stale_reports_total", "Builder reports about attempts that are no longer theirs"],
  logBytes: ["log_bytes_total", "Build log bytes received"],
  narBytesReceived: ["nar_received_bytes_total", "NAR bytes received from builders"],
  narBytesSent: ["nar_sent_bytes_total", "NAR bytes sent to builders"],
} as const;

/** Name of a counter in the code. */
export type CounterName = keyof typeof counterFamilies;

/**
 * Families of the reference's store layer (gauges). Always 0, as they are there since the local store is reached
 * through the daemon; they stay for dashboards that would otherwise show gaps.
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
