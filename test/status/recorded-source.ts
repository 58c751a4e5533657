// A `StatusSource` filled with what a recorded queue-runner had in memory, so that the answers can be compared.
import { readFileSync } from "node:fs";

import { defaultStoreDir } from "../../lib/nix/index.js";
import type { MachineView, ReasonCounts, StepView } from "../../lib/scheduler/index.js";
import { type MachineReport, Metrics, type StatusSource } from "../../lib/status/index.js";

/** Relative to the root of the project, where tests and compiled programs are started. */
const folder = "test/fixtures/observed/";
export const fixture = (name: string): string => readFileSync(folder + name, "utf8");

/** Recordings of a foreign program have no type of ours. */
export type Recorded = ReturnType<typeof JSON.parse>;
export const runningRecording: Record<string, Recorded> = JSON.parse(fixture("status-running.json"));
export const idleRecording: Record<string, Recorded> = JSON.parse(fixture("status-idle.json"));

const seconds = (value: number): number => value * 1000;
const machineId = "0b5bcf0c-8c3f-4f4e-9f2b-6f2f3f7f0a01";

function machineReport(recorded: Recorded, now: number): MachineReport {
  const { stats } = recorded;
  const view = {
    info: { ...recorded, id: machineId, ioPsiThreshold: recorded.ioPsiThreshold ?? undefined },
    load: {
      load1: stats.load1,
      buildDirFreePercent: stats.buildDirFreePercent,
      storeFreePercent: stats.storeFreePercent,
    },
    score: recorded.score,
    jobs: stats.currentJobs,
    uploads: 0,
    attempts: [],
    joinedAt: now - seconds(recorded.uptime),
    idleSince: seconds(stats.idleSince),
    lastPing: seconds(stats.lastPing),
    lastFailure: seconds(stats.lastFailure),
    disabledUntil: 0,
    consecutiveFailures: stats.consecutiveFailures,
    stepsDone: stats.nrStepsDone,
    succeeded: stats.succeededBuilds,
    failed: stats.failedBuilds,
    onTrial: false,
    draining: false,
    recentJobs: stats.jobsInLast30sCount,
    recentSince: seconds(stats.jobsInLast30sStart),
    block: undefined,
    hasStaticCapacity: true,
    hasDynamicCapacity: true,
  } as MachineView;
  const { irqFull: _unknown, ...pressure } = stats.pressure;
  return {
    view,
    totalMemoryBytes: recorded.totalMem,
    cgroups: recorded.cgroups,
    substituters: recorded.substituters,
    useSubstitutes: recorded.useSubstitutes,
    nixVersion: recorded.nixVersion,
    peer: "127.0.0.1:40000",
    load1: stats.load1,
    load5: stats.load5,
    load15: stats.load15,
    memoryUsedBytes: stats.memUsage,
    pressure,
    uploadingPaths: stats.currentUploadingPathCount,
    downloadingPaths: stats.currentDownloadingPathCount,
    times: {
      totalMs: stats.totalStepTimeMs,
      importMs: stats.totalStepImportTimeMs,
      buildMs: stats.totalStepBuildTimeMs,
      uploadMs: stats.totalStepUploadTimeMs,
    },
    jobs: recorded.jobs,
  };
}

function stepView(info: Recorded, system: string): StepView {
  return {
    id: info.drvPath,
    name: info.drvPath.slice(33),
    system,
    features: [],
    preferLocal: false,
    state: info.alreadyScheduled ? "running" : "ready",
    runnable: info.runnable,
    runnableSince: Date.parse(info.runnableSince),
    tries: info.tries,
    lastReason: undefined,
    notBefore: 0,
    globalPriority: info.highestGlobalPriority,
    localPriority: info.highestLocalPriority,
    lowestBuild: info.lowestBuildId,
    ownBuilds: [info.lowestBuildId],
    jobsets: [1],
    lowestShareUsed: info.lowestShareUsed ?? Number.POSITIVE_INFINITY,
    dependencies: 0,
    dependents: 0,
    criticalPath: 0,
    attempt: undefined,
    machine: info.alreadyScheduled ? machineId : undefined,
    cancelling: info.cancelled,
    resolvedFrom: [],
  } as unknown as StepView;
}

/** Calls of actions, in order. */
export interface RecordedSource extends StatusSource {
  readonly calls: readonly unknown[][];
}

/** What the recorded runner would have told; finished steps are left out, as ours forgets them. */
export function recordedSource(
  recording: Record<string, Recorded>,
  overrides: Partial<StatusSource> = {},
): { readonly source: RecordedSource; readonly metrics: Metrics; readonly now: number } {
  const whole = recording[""];
  const now = Date.parse(whole.queueRunner.time);
  const calls: unknown[][] = [];
  const queues = Object.entries(recording["/queues"].queues).map(([system, steps]) => ({
    system,
    steps: (steps as Recorded[]).filter((info) => !info.finished).map((info) => stepView(info, system)),
  }));
  const stats = Object.entries<Recorded>(whole.queueRunner.queueStats).map(([system, queue]) => ({
    system,
    running: queue.activeRunnable,
    ready: queue.nrRunnableWaiting,
    delayed: queue.nrRunnableDisabled,
    waitedMs: queue.waitTimeMs,
    oldestReadySince: 0,
  }));
  const steps = queues.flatMap((queue) => queue.steps);
  const reasons = { unsupported: 0, running: steps.length } as unknown as ReasonCounts;
  const known = (text: string): readonly string[] => (text === "vm" || text === machineId ? [machineId] : []);
  const source: RecordedSource = {
    calls,
    startedAt: now - seconds(whole.queueRunner.uptime),
    storeDir: defaultStoreDir,
    health: () => ({ state: "active", problems: [], queueLoaded: true, canRecord: true }),
    machines: () => Object.values<Recorded>(whole.machines).map((machine) => machineReport(machine, now)),
    jobsets: () =>
      Object.values<Recorded>(whole.jobsets).map((jobset) => ({
        id: jobset.id,
        project: jobset.projectName,
        name: jobset.name,
        shares: jobset.shares,
        seconds: jobset.seconds,
        shareUsed: jobset.seconds / jobset.shares,
        unfinishedBuilds: 0,
      })),
    builds: () =>
      recording["/builds"].builds.map((build: Recorded) => ({
        id: build.id,
        step: build.drvPath,
        jobset: build.jobsetId,
        job: build.name,
        timestamp: Date.parse(build.timestamp) / 1000,
        maxSilent: build.maxSilentTime ?? undefined,
        timeout: build.timeout ?? undefined,
        globalPriority: build.globalPriority,
        localPriority: build.localPriority,
      })),
    steps: () => steps,
    queues: () => queues,
    queueStats: () => stats,
    attempts: () => [],
    reasonCounts: () => reasons,
    counts: () => ({
      builds: whole.queueRunner.buildCount,
      jobsets: whole.queueRunner.jobsetCount,
      steps: steps.length,
      runnable: steps.length,
    }),
    pendingUploads: () => [],
    pendingUploadCount: () => 0,
    remoteStores: () => [],
    recentBuilds: () => [],
    skippedBuilds: () => [],
    isBuildActive: async (id) => {
      calls.push(["isBuildActive", id]);
      return recording["/builds"].builds.some((build: Recorded) => build.id === id);
    },
    submitBuild: async (request) => {
      calls.push(["submitBuild", request]);
      return 77;
    },
    buildOne: async (id) => {
      calls.push(["buildOne", id]);
    },
    cancelBuild: async (id) => {
      calls.push(["cancelBuild", id]);
    },
    bumpBuild: async (id) => {
      calls.push(["bumpBuild", id]);
    },
    whyNotRunning: async (drv) => {
      calls.push(["whyNotRunning", drv]);
      return { code: "unknown" };
    },
    drainMachine: (machine) => {
      calls.push(["drain", machine]);
      return known(machine);
    },
    resumeMachine: (machine) => {
      calls.push(["resume", machine]);
      return known(machine);
    },
    ...overrides,
  };
  return { source, metrics: recordedMetrics(whole.queueRunner), now };
}

function recordedMetrics(runner: Recorded): Metrics {
  const metrics = new Metrics({ runtime: false });
  const counters = {
    queueChecksStarted: runner.queueChecksStarted,
    queueBuildLoads: runner.queueBuildLoads,
    queueStepsCreated: runner.queueStepsCreated,
    queueChecksEarlyExits: runner.queueChecksEarlyExits,
    queueChecksFinished: runner.queueChecksFinished,
    dispatcherRunningUs: runner.dispatcherTimeSpentRunning,
    dispatcherWaitingUs: runner.dispatcherTimeSpentWaiting,
    monitorRunningUs: runner.queueMonitorTimeSpentRunning,
    monitorWaitingUs: runner.queueMonitorTimeSpentWaiting,
    buildsRead: runner.nrBuildsRead,
    buildReadMs: runner.buildReadTimeMs,
    buildsFinished: runner.nrBuildsDone,
    stepsSucceeded: runner.nrBuildsSucceeded,
    stepsFailed: runner.nrBuildsFailed,
    stepsStarted: runner.nrStepsStarted,
    stepsFinished: runner.nrStepsDone,
    unsupportedStepsAborted: runner.nrUnsupportedStepsAborted,
    retries: runner.nrRetries,
    stepTotalMs: runner.totalStepTimeMs,
    stepImportMs: runner.totalStepImportTimeMs,
    stepBuildMs: runner.totalStepBuildTimeMs,
    stepUploadMs: runner.totalStepUploadTimeMs,
    queueWakeups: runner.nrQueueWakeups,
    dispatcherWakeups: runner.nrDispatcherWakeups,
    dispatchMs: runner.dispatchTimeMs,
  } as const;
  for (const [name, value] of Object.entries(counters)) {
    metrics.add(name as keyof typeof counters, Number(value));
  }
  for (let times = 0; times < runner.nrStepsDone; times++) {
    metrics.observeInputs("x86_64-linux", 0);
    metrics.observeWait("x86_64-linux", 0.5);
  }
  return metrics;
}
