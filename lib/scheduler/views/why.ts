/** Why a step does not run, as data; and how many steps there are per reason. */
import type { SettledCore } from "../core.js";
import type { StepId } from "../ids.js";
import type { ReadyQueue } from "../queue/ready-queue.js";
import { compareSteps } from "../queue/step-order.js";
import type { Step } from "../steps/step.js";
import type { BlockedMachine, WhyNotRunning } from "../types.js";
import type { ReasonCounts } from "./views.js";

/** At most so many inputs are named. */
const namedInputs = 50;

/** Why a step is not running. O(ready steps of the same kind) when it is ready, unless its `place` is known already. */
export function why(core: SettledCore, id: StepId, place?: number): WhyNotRunning {
  const step = core.graph.find(id);
  if (step === undefined) return { code: "unknown" };
  if (step.id !== id) return { code: "resolved", to: step.id };
  const { attempt } = step;
  if (attempt !== undefined) {
    return {
      code: "running",
      machine: attempt.machine.info.id,
      hostname: attempt.machine.info.hostname,
      attempt: attempt.id,
      since: attempt.startedAt,
      phase: attempt.phase,
    };
  }
  if (step.gate !== undefined) return { code: "gated", gate: step.gate };
  if (step.dynamicPending !== undefined) {
    return { code: "waitingForDynamicInputs", producers: [...step.dynamicPending.keys()] };
  }
  if (step.state === "delayed") {
    return {
      code: "retryLater",
      at: step.notBefore,
      tries: step.tries,
      maxTries: core.options.retry.maxTries,
      reason: step.lastReason,
    };
  }
  const { queue } = step;
  if (queue === undefined) {
    const inputs = step.inputs.slice(0, namedInputs).map((input) => input.id);
    return { code: "waitingForInputs", inputs, count: step.inputs.length };
  }
  if (step.bucket.classes.size === 0) return unsupported(core, step);
  const position = place ?? positionOf(core, step);
  if (core.pool.pick(queue) !== undefined) return { code: "nextInLine", position };
  return { code: "machinesBusy", machines: blockedMachines(queue), position };
}

function unsupported(core: SettledCore, step: Step): WhyNotRunning {
  const { bucket } = step;
  let systemKnown = false;
  const missing = new Set(bucket.features);
  for (const cls of core.pool.classes.values()) {
    if (bucket.system !== "builtin" && !cls.systems.has(bucket.system)) continue;
    systemKnown = true;
    for (const feature of cls.supported) missing.delete(feature);
  }
  return {
    code: "unsupported",
    system: bucket.system,
    systemKnown,
    features: bucket.features,
    missingFeatures: [...missing],
    since: Math.max(step.readySince, bucket.unsupportedSince ?? 0),
    failsAt: core.board.failsAt(step),
  };
}

/** 1 = the next of those that need the same kind of machine. */
function positionOf(core: SettledCore, step: Step): number {
  let position = 1;
  for (const other of step.bucket.ready) {
    if (other !== step && compareSteps(core.holder.order, other, step) < 0) position++;
  }
  return position;
}

function blockedMachines(queue: ReadyQueue<Step>): BlockedMachine[] {
  const result: BlockedMachine[] = [];
  for (const cls of queue.bucket.classes) {
    for (const { info, block, onTrial } of cls.machines) {
      result.push({
        machine: info.id,
        hostname: info.hostname,
        block: block ?? { kind: onTrial ? "probing" : "avoided" },
      });
    }
  }
  return result;
}

/** Number of steps per reason. O(queues), not O(steps). */
export function reasonCounts(core: SettledCore): ReasonCounts {
  let [running, retryLater, unsupportedSteps, machinesBusy, nextInLine] = [0, 0, 0, 0, 0];
  for (const bucket of core.board.buckets.values()) {
    running += bucket.running;
    retryLater += bucket.delayed;
    if (bucket.classes.size === 0) {
      unsupportedSteps += bucket.ready.size;
      continue;
    }
    for (const queue of bucket.queues.values()) {
      if (core.pool.pick(queue) === undefined) machinesBusy += queue.size;
      else nextInLine += queue.size;
    }
  }
  const elsewhere = running + retryLater + unsupportedSteps + machinesBusy + nextInLine;
  return {
    running,
    retryLater,
    unsupported: unsupportedSteps,
    machinesBusy,
    nextInLine,
    gated: core.gated,
    waitingForDynamicInputs: core.dynamicPending,
    waitingForInputs: core.graph.steps.size - elsewhere - core.gated - core.dynamicPending,
  };
}
