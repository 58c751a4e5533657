/**
 * The JSON objects of the status API. Names, meaning and order of the members are those that Hydra's web front-end,
 * its statsd sender and its test-suite read; members of our own come last.
 */
import type { BuildView, JobsetView, StepView } from "../../scheduler/index.js";
import type {
  MachinePressures,
  MachineReport,
  PressureAverages,
  Problem,
  RemoteStoreReport,
} from "../types.js";
import { average, compareText, epochSeconds, singlePrecision, timestamp } from "./encoding.js";
import { blockJson } from "./explanation.js";
import { namedMachines } from "./machine-names.js";

/** `null` stands for "not known"; members are never left out. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [name: string]: Json };
/** A JSON object. */
export type JsonObject = { readonly [name: string]: Json };

/** A problem in `/health` and on the live page. */
export function problemJson({ part, reason, code, subject, since, advice }: Problem): JsonObject {
  return { part, reason, code, subject, since: timestamp(since), advice };
}

function pressureJson(line: PressureAverages | undefined): Json {
  if (line === undefined) return null;
  return {
    avg10: singlePrecision(line.avg10),
    avg60: singlePrecision(line.avg60),
    avg300: singlePrecision(line.avg300),
    total: line.total,
  };
}

function pressuresJson(pressure: MachinePressures | undefined): Json {
  if (pressure === undefined) return null;
  return {
    cpuSome: pressureJson(pressure.cpuSome),
    memSome: pressureJson(pressure.memSome),
    memFull: pressureJson(pressure.memFull),
    ioSome: pressureJson(pressure.ioSome),
    ioFull: pressureJson(pressure.ioFull),
    irqFull: pressureJson(pressure.irqFull),
  };
}

function machineStatsJson(machine: MachineReport, now: number): JsonObject {
  const { view, times } = machine;
  const done = view.stepsDone;
  const lastPing = epochSeconds(view.lastPing);
  return {
    currentJobs: view.jobs,
    nrStepsDone: done,
    avgStepTimeMs: average(times.totalMs, done),
    avgStepImportTimeMs: average(times.importMs, done),
    avgStepBuildTimeMs: average(times.buildMs, done),
    avgStepUploadTimeMs: average(times.uploadMs, done),
    totalStepTimeMs: Math.trunc(times.totalMs),
    totalStepImportTimeMs: Math.trunc(times.importMs),
    totalStepBuildTimeMs: Math.trunc(times.buildMs),
    totalStepUploadTimeMs: Math.trunc(times.uploadMs),
    idleSince: epochSeconds(view.idleSince),
    lastFailure: epochSeconds(view.lastFailure),
    disabledUntil: epochSeconds(view.disabledUntil),
    consecutiveFailures: view.consecutiveFailures,
    lastPing,
    sinceLastPing: epochSeconds(now) - lastPing,
    load1: singlePrecision(machine.load1),
    load5: singlePrecision(machine.load5),
    load15: singlePrecision(machine.load15),
    memUsage: machine.memoryUsedBytes,
    pressure: pressuresJson(machine.pressure),
    buildDirFreePercent: view.load?.buildDirFreePercent ?? 0,
    storeFreePercent: view.load?.storeFreePercent ?? 0,
    currentUploadingPathCount: machine.uploadingPaths,
    currentDownloadingPathCount: machine.downloadingPaths,
    jobsInLast30sStart: epochSeconds(view.recentSince),
    jobsInLast30sCount: Math.max(0, view.recentJobs),
    failedBuilds: view.failed,
    succeededBuilds: view.succeeded,
  };
}

/** One machine as `/status/machines` shows it. `now` in milliseconds since the epoch. */
function machineJson(machine: MachineReport, now: number): JsonObject {
  const { view } = machine;
  const { info } = view;
  return {
    systems: info.systems,
    hostname: info.hostname,
    uptime: Math.max(0, now - view.joinedAt) / 1000,
    cpuCount: info.cpuCount,
    bogomips: singlePrecision(info.bogomips),
    speedFactor: singlePrecision(info.speedFactor),
    maxJobs: info.maxJobs,
    buildDirAvailThreshold: singlePrecision(info.buildDirAvailThreshold),
    storeAvailThreshold: singlePrecision(info.storeAvailThreshold),
    load1Threshold: singlePrecision(info.load1Threshold),
    cpuPsiThreshold: singlePrecision(info.cpuPsiThreshold),
    memPsiThreshold: singlePrecision(info.memPsiThreshold),
    ioPsiThreshold: info.ioPsiThreshold === undefined ? null : singlePrecision(info.ioPsiThreshold),
    score: singlePrecision(view.score),
    totalMem: machine.totalMemoryBytes,
    supportedFeatures: info.supportedFeatures,
    mandatoryFeatures: info.mandatoryFeatures,
    cgroups: machine.cgroups,
    substituters: machine.substituters,
    useSubstitutes: machine.useSubstitutes,
    nixVersion: machine.nixVersion,
    stats: machineStatsJson(machine, now),
    jobs: machine.jobs,
    hasCapacity: view.block === undefined,
    hasDynamicCapacity: view.hasDynamicCapacity,
    hasStaticCapacity: view.hasStaticCapacity,
    id: info.id,
    peer: machine.peer ?? null,
    currentUploads: view.uploads,
    draining: view.draining,
    blockedBy: view.block === undefined ? null : blockJson(view.block, (until) => until),
  };
}

/** Machines by name (see `namedMachines`), sorted. */
export function machinesJson(machines: readonly MachineReport[], now: number): JsonObject {
  return Object.fromEntries(
    [...namedMachines(machines)]
      .sort(([a], [b]) => compareText(a, b))
      .map(([name, machine]) => [name, machineJson(machine, now)]),
  );
}

/** Jobsets by `project:jobset`, sorted. */
export function jobsetsJson(jobsets: readonly JobsetView[]): JsonObject {
  return Object.fromEntries(
    jobsets
      .map((jobset): [string, JsonObject] => [
        `${jobset.project}:${jobset.name}`,
        {
          id: jobset.id,
          projectName: jobset.project,
          name: jobset.name,
          seconds: Math.trunc(jobset.seconds),
          shares: jobset.shares,
        },
      ])
      .sort(([a], [b]) => compareText(a, b)),
  );
}

/** One unfinished build as `/status/builds` shows it. */
export function buildJson(build: BuildView): JsonObject {
  return {
    id: build.id,
    drvPath: build.step,
    jobsetId: build.jobset,
    name: build.job ?? "",
    timestamp: timestamp(build.timestamp * 1000),
    maxSilentTime: build.maxSilent ?? null,
    timeout: build.timeout ?? null,
    localPriority: build.localPriority,
    globalPriority: build.globalPriority,
    finishedInDb: false,
  };
}

/** One step as `/status/steps` shows it. Finished steps leave memory immediately, hence the constants. */
export function stepJson(step: StepView): JsonObject {
  return {
    drvPath: step.id,
    runnable: step.runnable,
    finished: false,
    previousFailure: false,
    created: true,
    tries: step.tries,
    highestGlobalPriority: step.globalPriority,
    highestLocalPriority: step.localPriority,
    lowestBuildId: step.lowestBuild,
    depsCount: step.dependencies,
    system: step.system,
    state: step.state,
  };
}

/** One step as `/status/queues` shows it. */
export function queuedStepJson(step: StepView): JsonObject {
  return {
    drvPath: step.id,
    alreadyScheduled: step.state === "running",
    runnable: step.runnable,
    finished: false,
    cancelled: step.cancelling,
    runnableSince: timestamp(step.runnableSince),
    tries: step.tries,
    lowestShareUsed: Number.isFinite(step.lowestShareUsed) ? step.lowestShareUsed : null,
    highestGlobalPriority: step.globalPriority,
    highestLocalPriority: step.localPriority,
    lowestBuildId: step.lowestBuild,
    machine: step.machine ?? null,
  };
}

const mebibyte = 1024 * 1024;

/** MiB per second. */
export function transferSpeed(bytes: number, milliseconds: number): number {
  return milliseconds > 0 ? bytes / mebibyte / (milliseconds / 1000) : 0;
}

/** US dollars at the list prices that the figure has always been computed with. */
export function approximateCost(store: RemoteStoreReport): number {
  return (
    (store.puts / 1000) * 0.005 +
    ((store.gets + store.heads) / 10000) * 0.004 +
    (store.getBytes / 2 ** 30) * 0.09
  );
}

/** Traffic by name of the store, sorted: the `s3` member of `/status`. */
export function remoteStoresJson(stores: readonly RemoteStoreReport[]): JsonObject {
  return Object.fromEntries(
    stores
      .map((store): [string, JsonObject] => [
        store.name,
        {
          put: store.puts,
          putBytes: store.putBytes,
          putTimeMs: Math.trunc(store.putMs),
          putSpeed: transferSpeed(store.putBytes, store.putMs),
          get: store.gets,
          getBytes: store.getBytes,
          getTimeMs: Math.trunc(store.getMs),
          getSpeed: transferSpeed(store.getBytes, store.getMs),
          head: store.heads,
          costDollarApprox: approximateCost(store),
        },
      ])
      .sort(([a], [b]) => compareText(a, b)),
  );
}
