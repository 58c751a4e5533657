/** Metric families of the present state, taken from the source in one go. */

import { average, epochSeconds } from "../answers/encoding.js";
import { queueLength } from "../answers/runner-report.js";
import { approximateCost, transferSpeed } from "../answers/shapes.js";
import type {
  MachineReport,
  Problem,
  ProblemPart,
  RemoteStoreReport,
  RunnerState,
  StatusSource,
} from "../types.js";
import { emptyStoreFamilies, metricPrefix } from "./counters.js";
import type { Family, Sample } from "./exposition.js";
import type { Metrics } from "./metrics.js";
import { threadCount } from "./process-report.js";

const problemParts: readonly ProblemPart[] = ["database", "uploads", "disk", "store", "machines", "queue"];
const states: readonly RunnerState[] = ["starting", "standby", "active", "draining", "stopping"];

function gauge(name: string, help: string, samples: number | readonly Sample[]): Family {
  return {
    name: metricPrefix + name,
    help,
    type: "gauge",
    samples: typeof samples === "number" ? [{ value: samples }] : samples,
  };
}

/** One sample per label value; of several items with one label the last wins, as every scraper expects. */
function labelled<T>(
  items: readonly T[],
  label: string,
  keyOf: (item: T) => string,
  value: (item: T) => number,
): readonly Sample[] {
  const byKey = new Map(items.map((item) => [keyOf(item), value(item)]));
  return [...byKey].map(([key, number]) => ({ labels: { [label]: key }, value: number }));
}

function queueFamilies(source: StatusSource): Family[] {
  const queues = source.queueStats();
  const per = (name: string, help: string, value: (queue: (typeof queues)[number]) => number): Family =>
    gauge(
      `machine_type_${name}`,
      help,
      labelled(queues, "machine_type", (queue) => queue.system, value),
    );
  return [
    per("runnable", "Steps in the queue, running ones included", queueLength),
    per("running", "Steps running", (queue) => queue.running),
    per("waiting", "Steps ready to run", (queue) => queue.ready),
    per("disabled", "Steps waiting for their retry time", (queue) => queue.delayed),
    per("avg_runnable_time", "Always 0; see job_wait_time_seconds", () => 0),
    per("wait_time", "Total time steps waited before they were assigned, milliseconds", (queue) =>
      Math.trunc(queue.waitedMs),
    ),
    per(
      "oldest_waiting_timestamp_seconds",
      "When the step that has been ready longest became so, 0 = none is ready",
      (queue) => epochSeconds(queue.oldestReadySince),
    ),
  ];
}

function machineFamilies(machines: readonly MachineReport[]): Family[] {
  const per = (name: string, help: string, value: (machine: MachineReport) => number): Family =>
    gauge(
      `machine_${name}`,
      help,
      labelled(machines, "hostname", (machine) => machine.view.info.hostname, value),
    );
  return [
    per("current_jobs", "Jobs on the machine", (machine) => machine.view.jobs),
    per("steps_done", "Steps ended since the machine joined", (machine) => machine.view.stepsDone),
    per("total_step_time_ms", "Time of all steps", (machine) => Math.trunc(machine.times.totalMs)),
    per("total_step_import_time_ms", "Time importing", (machine) => Math.trunc(machine.times.importMs)),
    per("total_step_build_time_ms", "Time building", (machine) => Math.trunc(machine.times.buildMs)),
    per("total_step_upload_time_ms", "Time uploading", (machine) => Math.trunc(machine.times.uploadMs)),
    per("consecutive_failures", "Failures in a row", (machine) => machine.view.consecutiveFailures),
    per("last_ping_timestamp", "Last ping, 0 = none", (machine) => epochSeconds(machine.view.lastPing)),
    per("idle_since_timestamp", "Idle since, 0 = busy", (machine) => epochSeconds(machine.view.idleSince)),
    per("max_jobs", "Job limit that the machine announced", (machine) => machine.view.info.maxJobs),
    per("uploads", "Builds whose outputs are being uploaded", (machine) => machine.view.uploads),
    per("draining", "1 while the machine takes no new work", (machine) => Number(machine.view.draining)),
    per("held_until_timestamp", "End of the present hold, 0 = none", (machine) =>
      epochSeconds(machine.view.disabledUntil),
    ),
  ];
}

function storeFamilies(stores: readonly RemoteStoreReport[]): Family[] {
  const per = (name: string, help: string, value: (store: RemoteStoreReport) => number): Family =>
    gauge(
      `s3_${name}`,
      help,
      labelled(stores, "remote_store", (store) => store.name, value),
    );
  return [
    per("put", "Objects written", (store) => store.puts),
    per("put_bytes", "Bytes written", (store) => store.putBytes),
    per("put_time_ms", "Time writing", (store) => Math.trunc(store.putMs)),
    per("put_speed", "Mean speed of writing, MiB/s", (store) => transferSpeed(store.putBytes, store.putMs)),
    per("get", "Objects read", (store) => store.gets),
    per("get_bytes", "Bytes read", (store) => store.getBytes),
    per("get_time_ms", "Time reading", (store) => Math.trunc(store.getMs)),
    per("get_speed", "Mean speed of reading, MiB/s", (store) => transferSpeed(store.getBytes, store.getMs)),
    per("head", "HEAD requests", (store) => store.heads),
    per("cost_dollar_approx", "Approximate cost of the requests", approximateCost),
  ];
}

/** Unix seconds; 0 when nothing runs. */
function oldestStart(source: StatusSource): number {
  const starts = source.attempts().map((attempt) => attempt.startedAt);
  return epochSeconds(starts.reduce((oldest, start) => (oldest === 0 || start < oldest ? start : oldest), 0));
}

function totalFamilies(source: StatusSource, metrics: Metrics, machines: readonly MachineReport[]): Family[] {
  const counts = source.counts();
  const queues = source.queueStats();
  const reasons = source.reasonCounts();
  const done = metrics.value("stepsFinished");
  const mean = (name: string, sum: "stepTotalMs" | "stepImportMs" | "stepBuildMs" | "stepUploadMs"): Family =>
    gauge(
      `steps_avg_${name}_time_ms`,
      `Mean ${name} time of a step attempt`,
      average(metrics.value(sum), done),
    );
  return [
    gauge("builds_unfinished", "Builds in memory", counts.builds),
    gauge("steps_unfinished", "Steps in memory", counts.steps),
    gauge("steps_runnable", "Steps whose inputs are all finished, running ones included", counts.runnable),
    gauge(
      "steps_building",
      "Steps on machines",
      queues.reduce((sum, queue) => sum + queue.running, 0),
    ),
    gauge(
      "steps_waiting",
      "Steps that are ready and not assigned to a machine",
      queues.reduce((sum, queue) => sum + queue.ready, 0),
    ),
    gauge(
      "steps_oldest_running_timestamp_seconds",
      "When the attempt that has been running longest began, 0 = none is running",
      oldestStart(source),
    ),
    gauge("steps_unsupported", "Steps that no joined machine can take", reasons.unsupported),
    gauge("steps_max_retries", "Highest number of tries of a step so far", metrics.maxTries),
    gauge(
      "steps_copying_to",
      "Paths that machines upload",
      machines.reduce((sum, machine) => sum + machine.uploadingPaths, 0),
    ),
    gauge(
      "steps_copying_from",
      "Paths that machines download",
      machines.reduce((sum, machine) => sum + machine.downloadingPaths, 0),
    ),
    mean("total", "stepTotalMs"),
    mean("import", "stepImportMs"),
    mean("build", "stepBuildMs"),
    mean("upload", "stepUploadMs"),
    gauge("machines_total", "Machines joined", machines.length),
    gauge(
      "machines_in_use",
      "Machines with jobs",
      machines.filter((machine) => machine.jobs.length > 0).length,
    ),
    gauge(
      "s3_uploads_pending",
      "Queued uploads to any remote store (despite the name)",
      source.pendingUploadCount(),
    ),
    gauge(
      "steps_by_reason",
      "Steps by the reason why they do not run",
      Object.entries(reasons).map(([reason, value]) => ({ labels: { reason }, value })),
    ),
    gauge(
      "builds_skipped",
      "Builds skipped because their row or derivation cannot be read",
      source.skippedBuilds().length,
    ),
  ];
}

function problemFamilies(problems: readonly Problem[]): Family[] {
  return [
    gauge(
      "problem",
      "Problems of a part at present, see /health; 0 = it works",
      problemParts.map((part) => ({
        labels: { part },
        value: problems.filter((problem) => problem.part === part).length,
      })),
    ),
    gauge(
      "problem_since_timestamp",
      "When each present problem was noticed, Unix seconds",
      problems.map(({ part, code, subject, since }) => ({
        labels: { part, code, subject },
        value: epochSeconds(since),
      })),
    ),
  ];
}

/** All gauges; the reading is synchronous, so it shows one moment. */
export function stateFamilies(
  source: StatusSource,
  metrics: Metrics,
  now: number,
  version: string,
): Family[] {
  const machines = source.machines();
  const jobsets = source.jobsets();
  const health = source.health();
  return [
    gauge("current_time_seconds", "Present time", epochSeconds(now)),
    gauge(
      "uptime_seconds",
      "Time since the start of the process",
      Math.max(0, epochSeconds(now - source.startedAt)),
    ),
    ...totalFamilies(source, metrics, machines),
    ...queueFamilies(source),
    ...machineFamilies(machines),
    ...storeFamilies(source.remoteStores()),
    gauge(
      "jobset_share_used",
      "Scheduling shares of the jobset (kept under its old name)",
      labelled(
        jobsets,
        "jobset_name",
        (jobset) => `${jobset.project}:${jobset.name}`,
        (jobset) => jobset.shares,
      ),
    ),
    gauge(
      "jobset_seconds",
      "Machine time of the jobset in the last 24 hours",
      labelled(
        jobsets,
        "jobset_name",
        (jobset) => `${jobset.project}:${jobset.name}`,
        (jobset) => Math.trunc(jobset.seconds),
      ),
    ),
    ...emptyStoreFamilies.map((name) => gauge(name, "Always 0; kept for existing dashboards", 0)),
    gauge("build_info", "Always 1; the version is the label", [{ labels: { version }, value: 1 }]),
    gauge(
      "state",
      "1 for the present state of the runner",
      states.map((state) => ({ labels: { state }, value: Number(state === health.state) })),
    ),
    gauge("problems", "Problems of all parts at present", health.problems.length),
    ...problemFamilies(health.problems),
    {
      name: "process_threads",
      help: "Threads of the process",
      type: "gauge",
      samples: [{ value: threadCount() }],
    },
  ];
}
