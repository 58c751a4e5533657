/** Pictures of the state as plain data. */
import type { Core, SettledCore } from "../core.js";
import type { BuildId, StepId } from "../ids.js";
import type { Machine } from "../machines/machine.js";
import type { Jobset } from "../queue/jobset-shares.js";
import { compareSteps } from "../queue/step-order.js";
import type { Attempt, Build, Step } from "../steps/step.js";
import { ownBuildsOf } from "../steps/step-life.js";
import type {
  AttemptView,
  BuildView,
  JobsetView,
  MachineView,
  QueueStats,
  QueueView,
  SchedulerSizes,
  StepView,
} from "./views.js";

/** A build as plain data. */
export function buildView(build: Build): BuildView {
  // Member by member: a pass over the queue looks at every build, and a spread takes several times as long.
  return {
    id: build.id,
    step: build.step.id,
    jobset: build.jobset.id,
    job: build.job,
    timestamp: build.timestamp,
    maxSilent: build.maxSilent,
    timeout: build.timeout,
    globalPriority: build.globalPriority,
    localPriority: build.localPriority,
  };
}

/** A step as plain data; undefined for an unknown id. An id that was resolved gives the step it was resolved to. */
export function stepView(core: SettledCore, id: StepId): StepView | undefined {
  const step = core.graph.find(id);
  return step === undefined ? undefined : viewOf(step);
}

/** All steps, in the order in which they were added. O(steps). */
export function stepViews(core: SettledCore): StepView[] {
  return [...core.graph.steps.values()].map(viewOf);
}

/** Of a step of a settled core. */
function viewOf(step: Step): StepView {
  const { keys, bucket } = step;
  return {
    id: step.id,
    name: step.name,
    system: bucket.system,
    features: bucket.features,
    preferLocal: bucket.preferLocal,
    state: step.state,
    runnable: step.runnable,
    runnableSince: step.runnableSince,
    tries: step.tries,
    lastReason: step.lastReason,
    notBefore: step.state === "delayed" ? step.notBefore : 0,
    globalPriority: keys.wanted ? keys.globalPriority : 0,
    localPriority: keys.wanted ? keys.localPriority : 0,
    lowestBuild: keys.lowestBuild as BuildId,
    ownBuilds: ownBuildsOf(step),
    jobsets: keys.jobsets.jobsets.map((jobset) => jobset.id),
    lowestShareUsed: keys.jobsets.share,
    dependencies: step.inputs.length,
    dependents: step.dependentsLeft,
    criticalPath: step.criticalPath,
    attempt: step.attempt?.id,
    machine: step.attempt?.machine.info.id,
    cancelling: step.attempt?.phase === "cancelling",
    resolvedFrom: step.aliases ?? [],
  };
}

/** An attempt as plain data. */
export function attemptView({ id, step, machine, build, startedAt, phase }: Attempt): AttemptView {
  return { attempt: id, step: step.id, machine: machine.info.id, build, startedAt, phase };
}

/** A machine as plain data, judged as of now. */
export function machineView(core: Core, machine: Machine): MachineView {
  core.pool.refresh(machine, core.now);
  const { breaker } = machine;
  return {
    info: machine.info,
    load: machine.load,
    score: core.pool.scoreWithoutJobs(machine),
    jobs: machine.jobs,
    uploads: machine.uploads,
    attempts: [...machine.attempts],
    joinedAt: machine.joinedAt,
    idleSince: machine.idleSince,
    lastPing: machine.lastPing,
    lastFailure: breaker.lastFailure,
    disabledUntil: breaker.held(core.now) ? breaker.heldUntil : 0,
    consecutiveFailures: breaker.consecutiveFailures,
    stepsDone: machine.stepsDone,
    succeeded: machine.succeeded,
    failed: machine.failed,
    draining: machine.draining,
    onTrial: machine.onTrial,
    recentJobs: machine.recent.length,
    recentSince: machine.recent[0]?.startedAt ?? 0,
    block: machine.block,
    hasStaticCapacity: core.pool.would(machine, "Static"),
    hasDynamicCapacity: core.pool.would(machine, "Dynamic"),
  };
}

/** A jobset with its usage in the last 24 hours. */
export function jobsetView(jobset: Jobset): JobsetView {
  return {
    id: jobset.id,
    project: jobset.project,
    name: jobset.name,
    shares: jobset.shares,
    seconds: jobset.used / 1000,
    shareUsed: jobset.shareUsed,
    unfinishedBuilds: jobset.builds,
  };
}

/** Running and ready steps per system, ready ones in dispatch order. Sorts all of them, so for the status API only. */
export function queueViews(core: SettledCore): QueueView[] {
  const bySystem = new Map<string, { running: Step[]; ready: Step[] }>();
  for (const system of systemsOf(core)) bySystem.set(system, { running: [], ready: [] });
  for (const { step } of core.attempts.values()) bySystem.get(step.bucket.system)?.running.push(step);
  for (const bucket of core.board.buckets.values()) bySystem.get(bucket.system)?.ready.push(...bucket.ready);
  return [...bySystem].map(([system, { running, ready }]) => {
    ready.sort((a, b) => compareSteps(core.holder.order, a, b));
    return { system, steps: [...running, ...ready].map(viewOf) };
  });
}

/** Numbers of running, ready and delayed steps per system. O(queues). */
export function queueStats(core: SettledCore): QueueStats[] {
  const bySystem = new Map(
    [...systemsOf(core)].map((system) => [
      system,
      { running: 0, ready: 0, delayed: 0, oldestReadySince: Number.POSITIVE_INFINITY },
    ]),
  );
  for (const bucket of core.board.buckets.values()) {
    const stats = bySystem.get(bucket.system);
    if (stats === undefined) continue;
    stats.running += bucket.running;
    stats.ready += bucket.ready.size;
    stats.delayed += bucket.delayed;
    // They are kept in the order in which they became ready.
    const [oldest] = bucket.ready;
    if (oldest !== undefined) stats.oldestReadySince = Math.min(stats.oldestReadySince, oldest.readySince);
  }
  return [...bySystem].map(([system, stats]) => ({
    system,
    ...stats,
    oldestReadySince: stats.ready === 0 ? 0 : stats.oldestReadySince,
    waitedMs: core.waitedMs.get(system) ?? 0,
  }));
}

/** Systems of queued steps, of machines, and of everything that ever ran. */
function systemsOf(core: Core): Set<string> {
  const systems = new Set(core.waitedMs.keys());
  for (const cls of core.pool.classes.values()) for (const system of cls.systems) systems.add(system);
  for (const bucket of core.board.buckets.values()) systems.add(bucket.system);
  return systems;
}

/** How many things are held in memory. */
export function sizes(core: SettledCore): SchedulerSizes {
  let queued = 0;
  for (const bucket of core.board.buckets.values()) queued += bucket.ready.size;
  return {
    steps: core.graph.steps.size,
    edges: core.graph.edges,
    builds: core.builds.size,
    attempts: core.attempts.size,
    aliases: core.graph.aliases.size,
    jobsetSets: core.shares.setCount,
    buckets: core.board.buckets.size,
    queues: core.board.queueCount,
    queued,
    timers: core.timers.size,
    machines: core.pool.machines.size,
    machineClasses: core.pool.classes.size,
    rememberedHosts: core.hosts.size,
    usageEntries: core.shares.entryCount,
    jobsets: core.shares.size,
  };
}
