/** The `queueRunner` member of `/status`: counters and present sizes. */
import type { QueueStats } from "../../scheduler/index.js";
import type { Metrics } from "../metrics/metrics.js";
import { processJson } from "../metrics/process-report.js";
import type { StatusSource } from "../types.js";
import { average, compareText, timestamp } from "./encoding.js";
import { type JsonObject, jobsetsJson, machinesJson, remoteStoresJson } from "./shapes.js";

/** Steps in a queue: ready, waiting for their retry time, and running. */
export function queueLength(stats: QueueStats): number {
  return stats.running + stats.ready + stats.delayed;
}

function queueStatsJson(stats: readonly QueueStats[]): JsonObject {
  return Object.fromEntries(
    stats
      .map((queue): [string, JsonObject] => [
        queue.system,
        {
          activeRunnable: queue.running,
          totalRunnable: queueLength(queue),
          nrRunnableWaiting: queue.ready,
          nrRunnableDisabled: queue.delayed,
          avgRunnableTime: 0,
          waitTimeMs: Math.trunc(queue.waitedMs),
        },
      ])
      .sort(([a], [b]) => compareText(a, b)),
  );
}

/** The `queueRunner` member: every counter under the name that `hydra-send-stats` reads, and present sizes. */
function runnerJson(source: StatusSource, metrics: Metrics, now: number): JsonObject {
  const machines = source.machines();
  const counts = source.counts();
  const queues = source.queueStats();
  const count = (name: Parameters<Metrics["value"]>[0]): number => Math.trunc(metrics.value(name));
  const done = count("stepsFinished");
  const features = new Set(machines.flatMap((machine) => machine.view.info.supportedFeatures));
  return {
    status: "up",
    time: timestamp(now),
    uptime: Math.max(0, now - source.startedAt) / 1000,
    proc: processJson(),
    supportedFeatures: [...features].sort(compareText),
    buildCount: counts.builds,
    jobsetCount: counts.jobsets,
    stepCount: counts.steps,
    runnableCount: counts.runnable,
    queueStats: queueStatsJson(queues),
    queueChecksStarted: count("queueChecksStarted"),
    queueBuildLoads: count("queueBuildLoads"),
    queueStepsCreated: count("queueStepsCreated"),
    queueChecksEarlyExits: count("queueChecksEarlyExits"),
    queueChecksFinished: count("queueChecksFinished"),
    dispatcherTimeSpentRunning: count("dispatcherRunningUs"),
    dispatcherTimeSpentWaiting: count("dispatcherWaitingUs"),
    queueMonitorTimeSpentRunning: count("monitorRunningUs"),
    queueMonitorTimeSpentWaiting: count("monitorWaitingUs"),
    nrBuildsRead: count("buildsRead"),
    buildReadTimeMs: count("buildReadMs"),
    nrBuildsUnfinished: counts.builds,
    nrBuildsDone: count("buildsFinished"),
    nrBuildsSucceeded: count("stepsSucceeded"),
    nrBuildsFailed: count("stepsFailed"),
    nrStepsStarted: count("stepsStarted"),
    nrStepsDone: done,
    nrStepsBuilding: queues.reduce((sum, queue) => sum + queue.running, 0),
    nrStepsWaiting: queues.reduce((sum, queue) => sum + queue.ready, 0),
    nrStepsRunnable: counts.runnable,
    nrStepsUnfinished: counts.steps,
    nrUnsupportedSteps: source.reasonCounts().unsupported,
    nrUnsupportedStepsAborted: count("unsupportedStepsAborted"),
    nrSubstitutesStarted: count("substitutesStarted"),
    nrSubstitutesFailed: count("substitutesFailed"),
    nrSubstitutesSucceeded: count("substitutesSucceeded"),
    nrRetries: count("retries"),
    maxNrRetries: metrics.maxTries,
    avgStepTimeMs: average(count("stepTotalMs"), done),
    avgStepImportTimeMs: average(count("stepImportMs"), done),
    avgStepBuildTimeMs: average(count("stepBuildMs"), done),
    avgStepUploadTimeMs: average(count("stepUploadMs"), done),
    totalStepTimeMs: count("stepTotalMs"),
    totalStepImportTimeMs: count("stepImportMs"),
    totalStepBuildTimeMs: count("stepBuildMs"),
    totalStepUploadTimeMs: count("stepUploadMs"),
    nrQueueWakeups: count("queueWakeups"),
    nrDispatcherWakeups: count("dispatcherWakeups"),
    dispatchTimeMs: count("dispatchMs"),
    machinesTotal: machines.length,
    machinesInUse: machines.filter((machine) => machine.jobs.length > 0).length,
    s3UploadsPending: source.pendingUploadCount(),
    state: source.health().state,
  };
}

/** The whole of `GET /status`. */
export function statusJson(source: StatusSource, metrics: Metrics, now: number): JsonObject {
  return {
    queueRunner: runnerJson(source, metrics, now),
    machines: machinesJson(source.machines(), now),
    jobsets: jobsetsJson(source.jobsets()),
    store: null,
    s3: remoteStoresJson(source.remoteStores()),
  };
}
