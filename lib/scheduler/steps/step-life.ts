/** How steps become ready, and how they leave: finished, failed, or no longer needed. */
import type { Core, SettledCore } from "../core.js";
import { SchedulerError } from "../errors.js";
import type { BuildId, StepId } from "../ids.js";
import { noBuild } from "../queue/step-keys.js";
import { Timer } from "../timers.js";
import type {
  DynamicContinuation,
  Effect,
  EndedAttempt,
  FailedBuild,
  FailedCompletion,
  FailureStatus,
  FinishedCompletion,
} from "../types.js";
import type { Attempt, Build, Step } from "./step.js";

/** Queues a step that nothing holds back any more. True when it just became runnable. */
export function makeReady(core: Core, step: Step): boolean {
  if (step.state !== "blocked" || step.removed || step.blocked) return false;
  if (!step.keys.wanted) return false;
  if (!step.runnable) {
    step.runnable = true;
    step.runnableSince = core.now;
  }
  if (step.notBefore > core.now) {
    delay(core, step);
  } else {
    step.state = "ready";
    step.readySince = core.now;
    core.board.enqueue(step);
  }
  return true;
}

/** Waits for `step.notBefore`. */
function delay(core: Core, step: Step): void {
  step.state = "delayed";
  step.bucket.delayed++;
  step.retryTimer ??= new Timer(() => {
    withdraw(core, step);
    makeReady(core, step);
  });
  core.timers.set(step.retryTimer, step.notBefore);
}

/** Takes a step out of its queue or its delay. */
export function withdraw(core: Core, step: Step): void {
  if (step.state === "ready") {
    core.board.dequeue(step);
    step.state = "blocked";
  } else if (step.state === "delayed") {
    core.timers.clear(step.retryTimer);
    step.bucket.delayed--;
    step.state = "blocked";
  }
}

/** A build began to need the step, or the last one ceased to. */
export function wantedChanged(core: Core, step: Step): void {
  if (!step.keys.wanted) withdraw(core, step);
  else makeReady(core, step);
}

/**
 * Takes out those of `steps` that nothing needs, and what only they needed. Running ones are aborted or, unless
 * `abort`, left to end.
 */
export function dropUnneeded(core: Core, steps: readonly Step[], abort: boolean): Effect[] {
  const effects: Effect[] = [];
  const stack = steps.slice();
  for (let step = stack.pop(); step !== undefined; step = stack.pop()) {
    if (step.removed || step.needed) continue;
    if (step.attempt === undefined) {
      for (const input of forget(core, step)) stack.push(input);
    } else if (abort) {
      const effect = requestAbort(core, step.attempt);
      if (effect !== undefined) effects.push(effect);
    }
  }
  return effects;
}

/** Takes out one step without dependents and builds; returns its former inputs. */
export function forget(core: Core, step: Step): readonly Step[] {
  withdraw(core, step);
  core.board.leave(step.bucket);
  if (step.gate !== undefined) core.gated--;
  else if (step.dynamicPending !== undefined) core.dynamicPending--;
  return core.graph.remove(step);
}

function requestAbort(core: Core, attempt: Attempt): Effect | undefined {
  if (attempt.phase === "cancelling") return undefined;
  attempt.phase = "cancelling";
  if (attempt.timer !== undefined) core.timers.set(attempt.timer, core.now + core.options.deadlines.cancelMs);
  return {
    kind: "abortAttempt",
    attempt: attempt.id,
    step: attempt.step.id,
    machine: attempt.machine.info.id,
    build: attempt.build,
  };
}

/** Takes a build out; its step stays. */
export function forgetBuild(core: Core, build: Build): void {
  core.graph.removeBuild(build.step, build);
  core.builds.delete(build.id);
  build.jobset.builds--;
}

/** The builds whose own derivation is this step, oldest first. */
export function ownBuildsOf(step: Step): BuildId[] {
  const ids = step.builds.map((build) => build.id);
  return ids.length < 2 ? ids : ids.sort((a, b) => a - b);
}

/** The build a step is accounted to: the oldest of its own, else the oldest that needs it. */
export function accountedBuild(step: Step): BuildId {
  let own: BuildId | undefined;
  for (const { id } of step.builds) if (own === undefined || id < own) own = id;
  return own ?? (step.keys.lowestBuild as BuildId);
}

/** The outputs exist: builds of the step are done, dependents lose an input. */
export function finish(core: SettledCore, step: Step, ended: EndedAttempt | undefined): FinishedCompletion {
  const ownBuilds = ownBuildsOf(step);
  for (let build = step.builds.at(-1); build !== undefined; build = step.builds.at(-1))
    forgetBuild(core, build);
  const dynamic: DynamicContinuation[] = [];
  const dependents = core.graph.leaveDependents(step);
  for (const dependent of dependents) {
    const chains = dependent.chainsOf(step);
    if (chains.length > 0) {
      dependent.dropChains(step);
      if (dependent.dynamicPending === undefined) {
        dependent.dynamicPending = new Map();
        if (dependent.gate === undefined) core.dynamicPending++;
      }
      dependent.dynamicPending.set(step.id, chains);
      for (const chain of chains) dynamic.push({ dependent: dependent.id, producer: step.id, chain });
    }
  }
  const effects = dropUnneeded(core, forget(core, step), core.options.abortOrphans === "always");
  const released: StepId[] = [];
  for (const dependent of dependents) if (makeReady(core, dependent)) released.push(dependent.id);
  core.counters.stepsFinished++;
  core.counters.buildsFinished += ownBuilds.length;
  return { kind: "finished", step: step.id, ended, ownBuilds, released, dynamic, effects };
}

/** The step and everything above it are given up, with all their builds. */
export function fail(
  core: SettledCore,
  step: Step,
  status: FailureStatus,
  reason: string | undefined,
  ended: EndedAttempt | undefined,
): FailedCompletion {
  const accounted = ended?.build ?? (step.keys.lowestBuild === noBuild ? undefined : accountedBuild(step));
  const lost = core.graph.withDependents(step);
  const builds: FailedBuild[] = [];
  const below: Step[] = [];
  for (const above of lost) {
    for (let build = above.builds.at(-1); build !== undefined; build = above.builds.at(-1)) {
      builds.push({ id: build.id, own: above === step });
      forgetBuild(core, build);
    }
  }
  // A step can only be forgotten once nothing depends on it, so go from the top down.
  for (const above of [...lost].sort((a, b) => b.height - a.height)) {
    for (const input of forget(core, above)) if (!lost.has(input)) below.push(input);
  }
  const effects = dropUnneeded(core, below, core.options.abortOrphans === "always");
  core.counters.stepsFailed++;
  core.counters.buildsFailed += builds.length;
  builds.sort((a, b) => a.id - b.id);
  return {
    kind: "failed",
    step: step.id,
    ended,
    status,
    reason,
    build: accounted,
    builds,
    tries: step.tries,
    effects,
  };
}

/**
 * `what` is the verb for the message.
 *
 * @throws SchedulerError `step-busy` when the step has an attempt
 */
export function assertIdle(step: Step, what: string): void {
  if (step.attempt !== undefined) {
    throw new SchedulerError("step-busy", `step ${step.id} is running; ${what} through its attempt instead`);
  }
}
