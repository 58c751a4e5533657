/** Pictures of the queue for lists that are read in slices, each step by itself. */
import type { SettledCore } from "../core.js";
import type { BuildId, StepId } from "../ids.js";
import type { ReadyQueue } from "../queue/ready-queue.js";
import type { Step } from "../steps/step.js";
import type { ReasonCode } from "../types.js";
import type { ReasonCounts, StepRow, SystemView } from "./views.js";

/** Of an empty queue. */
export const noReasons: ReasonCounts = {
  running: 0,
  waitingForInputs: 0,
  waitingForDynamicInputs: 0,
  gated: 0,
  retryLater: 0,
  unsupported: 0,
  machinesBusy: 0,
  nextInLine: 0,
};

type Counts = { -readonly [Reason in ReasonCode]: number };

/** Why the step does not run, without the details. O(machine classes). */
function reasonOf(core: SettledCore, step: Step): ReasonCode {
  if (step.attempt !== undefined) return "running";
  if (step.gate !== undefined) return "gated";
  if (step.dynamicPending !== undefined) return "waitingForDynamicInputs";
  if (step.state === "delayed") return "retryLater";
  if (step.queue === undefined) return "waitingForInputs";
  return reasonOfQueue(core, step.queue);
}

function reasonOfQueue(core: SettledCore, queue: ReadyQueue<Step>): ReasonCode {
  if (queue.bucket.classes.size === 0) return "unsupported";
  return core.pool.pick(queue) === undefined ? "machinesBusy" : "nextInLine";
}

/** One step as a list shows it; undefined for an unknown id. */
export function stepRow(core: SettledCore, id: StepId): StepRow | undefined {
  const step = core.graph.find(id);
  return step === undefined ? undefined : rowOf(core, step);
}

/** One step as a list shows it. */
export function rowOf(core: SettledCore, step: Step): StepRow {
  const { keys, bucket, attempt } = step;
  return {
    id: step.id,
    name: step.name,
    system: bucket.system,
    features: bucket.features,
    preferLocal: bucket.preferLocal,
    runnable: step.runnable,
    runnableSince: step.runnableSince,
    tries: step.tries,
    globalPriority: keys.wanted ? keys.globalPriority : 0,
    localPriority: keys.wanted ? keys.localPriority : 0,
    lowestBuild: keys.lowestBuild as BuildId,
    lowestShareUsed: keys.jobsets.share,
    dependencies: step.inputs.length,
    dependents: step.dependentsLeft,
    criticalPath: step.criticalPath,
    machine: attempt?.machine.info.id,
    reason: reasonOf(core, step),
    readySince: step.readySince,
    startedAt: attempt?.startedAt,
    expectedMs: step.expectedMs,
  };
}

/** What the step waits for directly, in the order of the derivation. */
export function inputIds(core: SettledCore, id: StepId): StepId[] {
  return core.graph.find(id)?.inputs.map((input) => input.id) ?? [];
}

/** What waits for the step directly. */
export function dependentIds(core: SettledCore, id: StepId): StepId[] {
  const dependents = core.graph.find(id)?.dependents ?? [];
  return dependents.filter(({ removed }) => !removed).map((dependent) => dependent.id);
}

/**
 * Steps per system and reason, and the one that has been ready longest. Those that wait for an upload or for a dynamic
 * derivation count as `waitingForInputs`. O(queues).
 */
export function systemViews(core: SettledCore): SystemView[] {
  const systems = new Map<string, { counts: Counts; oldest: Step | undefined }>();
  for (const bucket of core.board.buckets.values()) {
    const found = systems.get(bucket.system) ?? { counts: { ...noReasons }, oldest: undefined };
    systems.set(bucket.system, found);
    const { counts } = found;
    counts.running += bucket.running;
    counts.retryLater += bucket.delayed;
    counts.waitingForInputs += bucket.steps - bucket.running - bucket.delayed - bucket.ready.size;
    if (bucket.classes.size === 0) counts.unsupported += bucket.ready.size;
    else for (const queue of bucket.queues.values()) counts[reasonOfQueue(core, queue)] += queue.size;
    const [first] = bucket.ready;
    if (first !== undefined && first.readySince < (found.oldest?.readySince ?? Number.POSITIVE_INFINITY)) {
      found.oldest = first;
    }
  }
  return [...systems].map(([system, { counts, oldest }]) => ({
    system,
    reasons: counts as ReasonCounts,
    oldest: oldest?.id,
  }));
}
