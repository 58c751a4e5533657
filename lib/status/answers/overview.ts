/** One small document with everything the live page shows. */

import type { StepView } from "../../scheduler/index.js";
import type { Metrics } from "../metrics/metrics.js";
import type { MachineReport, StatusSource } from "../types.js";
import { compareText, epochSeconds } from "./encoding.js";
import { blockJson } from "./explanation.js";
import { queueLength } from "./runner-report.js";
import { type JsonObject, problemJson } from "./shapes.js";
import { explanationWords, resultWords } from "./words.js";

/** Rows of a list that the page shows; the counts include the rest. */
const shownRows = 25;
/** Steps of a queue whose reason is looked up: finding a place costs as much as the steps before it. */
const explainedRows = 10;

function machineRow(machine: MachineReport): JsonObject {
  const { view } = machine;
  return {
    id: view.info.id,
    hostname: view.info.hostname,
    systems: view.info.systems,
    features: view.info.supportedFeatures,
    mandatoryFeatures: view.info.mandatoryFeatures,
    jobs: view.jobs,
    maxJobs: view.info.maxJobs,
    uploads: view.uploads,
    load1: machine.load1,
    cpuCount: view.info.cpuCount,
    memoryUsed: machine.memoryUsedBytes,
    memoryTotal: machine.totalMemoryBytes,
    storeFree: view.load?.storeFreePercent ?? null,
    lastPing: view.lastPing,
    stepsDone: view.stepsDone,
    failed: view.failed,
    draining: view.draining,
    block: view.block === undefined ? null : blockJson(view.block, (until) => until),
  };
}

/** Why the first steps of each queue do not run, in words. */
async function reasonsInWords(
  source: StatusSource,
  queues: readonly { readonly steps: readonly StepView[] }[],
  now: number,
): Promise<ReadonlyMap<string, string>> {
  const waiting = queues.flatMap(({ steps }) =>
    steps.slice(0, explainedRows).filter(({ state }) => state !== "running"),
  );
  const words = waiting.map(
    async ({ id }) => [id, explanationWords(await source.whyNotRunning(id), now)] as const,
  );
  return new Map(await Promise.all(words));
}

/** Times are milliseconds since the epoch: the reader is our own page. */
export async function overviewJson(source: StatusSource, metrics: Metrics, now: number): Promise<JsonObject> {
  const health = source.health();
  const counts = source.counts();
  const machines = source.machines();
  const jobsets = new Map(source.jobsets().map((jobset) => [jobset.id, `${jobset.project}:${jobset.name}`]));
  const names = new Map(machines.map((machine) => [machine.view.info.id, machine.view.info.hostname]));
  const stats = new Map(source.queueStats().map((queue) => [queue.system, queue]));
  const queues = source
    .queues(shownRows)
    .map((queue) => ({ queue, stats: stats.get(queue.system) }))
    .filter((entry) => entry.stats !== undefined && queueLength(entry.stats) > 0)
    .sort((a, b) => compareText(a.queue.system, b.queue.system));
  const why = await reasonsInWords(
    source,
    queues.map(({ queue }) => queue),
    now,
  );
  return {
    now,
    startedAt: source.startedAt,
    state: health.state,
    problems: health.problems.map(problemJson),
    counts: {
      builds: counts.builds,
      steps: counts.steps,
      runnable: counts.runnable,
      running: [...stats.values()].reduce((sum, queue) => sum + queue.running, 0),
      buildsFinished: metrics.value("buildsFinished"),
      stepsSucceeded: metrics.value("stepsSucceeded"),
      stepsFailed: metrics.value("stepsFailed"),
      retries: metrics.value("retries"),
      uploads: source.pendingUploadCount(),
    },
    reasons: { ...source.reasonCounts() },
    machines: [...machines]
      .sort((a, b) => compareText(a.view.info.hostname, b.view.info.hostname))
      .map((machine) => machineRow(machine)),
    attempts: source.attempts().map((attempt) => ({
      step: attempt.step,
      machine: attempt.machine,
      hostname: names.get(attempt.machine) ?? "",
      build: attempt.build,
      startedAt: attempt.startedAt,
      phase: attempt.phase,
    })),
    queues: queues.map(({ queue, stats: sizes }) => ({
      system: queue.system,
      running: sizes?.running ?? 0,
      ready: sizes?.ready ?? 0,
      delayed: sizes?.delayed ?? 0,
      steps: queue.steps.slice(0, shownRows).map((step) => ({
        drv: step.id,
        state: step.state,
        tries: step.tries,
        build: step.lowestBuild,
        since: step.runnableSince,
        notBefore: step.notBefore,
        reason: step.lastReason ?? null,
        why: why.get(step.id) ?? null,
      })),
    })),
    builds: source
      .builds(shownRows)
      .slice(0, shownRows)
      .map((build) => ({
        id: build.id,
        jobset: jobsets.get(build.jobset) ?? String(build.jobset),
        job: build.job ?? "",
        drv: build.step,
        priority: build.localPriority,
        globalPriority: build.globalPriority,
        queuedAt: build.timestamp * 1000,
      })),
    recent: source
      .recentBuilds()
      .slice(0, shownRows)
      .map((build) => ({
        id: build.id,
        project: build.project,
        jobset: build.jobset,
        job: build.job,
        drvPath: build.drvPath,
        status: build.status,
        result: resultWords(build.status),
        finishedAt: build.finishedAt,
        durationMs: build.durationMs,
        machine: build.machine ?? null,
        cached: build.cached,
        finishedAtSeconds: epochSeconds(build.finishedAt),
      })),
    skipped: source
      .skippedBuilds()
      .slice(0, shownRows)
      .map(({ id, reason, since }) => ({ id, reason, since })),
  };
}
