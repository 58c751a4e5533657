/** The scheduler's options by the settings of the queue-runner's file. */
import type { QueueRunnerConfig } from "../config/types.js";
import type { SchedulerOptionsInput } from "../scheduler/options.js";

/** Translates the settings; seconds become milliseconds. */
export function schedulerSettings(config: QueueRunnerConfig): SchedulerOptionsInput {
  return {
    stepOrder: config.stepSortFn,
    machineOrder: config.machineSortFn,
    machineFree: config.machineFreeFn,
    retry: {
      // The setting counts tries; 0 and 1 both mean "never again".
      maxTries: Math.max(1, config.maxRetries),
      intervalMs: config.retryInterval * 1000,
      backoff: config.retryBackoff,
      jitterMs: Math.min(10_000, config.retryInterval * 100),
    },
    deadlines: { heartbeatMs: config.machineHeartbeatTimeoutInS * 1000 },
    maxUnsupportedMs: Math.max(0, config.maxUnsupportedTimeInS) * 1000,
    maxConcurrentUploadsPerMachine: config.maxConcurrentUploadsPerMachine,
    defaultMaxSilent: config.maxSilentTime,
    defaultTimeout: config.buildTimeout,
  };
}

/** Milliseconds of a timer setting in seconds; 0 or less disables the timer. */
export function timerMs(seconds: number): number | undefined {
  return seconds > 0 ? seconds * 1000 : undefined;
}

/** Queued builds ingested together. */
export function buildsAtOnce({ maxConcurrentIngestion }: QueueRunnerConfig): number {
  return maxConcurrentIngestion === 0 ? 200 : maxConcurrentIngestion;
}
