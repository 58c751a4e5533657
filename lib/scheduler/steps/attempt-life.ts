/** Lifecycle of an attempt: from reserving a slot to its outcome. */

import type { Core, SettledCore } from "../core.js";
import { SchedulerError } from "../errors.js";
import type { AttemptId, MachineId, StepId } from "../ids.js";
import type { Machine } from "../machines/machine.js";
import { limitKey, limitSeconds } from "../queue/step-keys.js";
import type { Random } from "../random.js";
import { Timer } from "../timers.js";
import {
  type Assignment,
  type AttemptLimits,
  type AttemptOutcome,
  type Completion,
  type Effect,
  type EndedAttempt,
  failureStatus,
  type RetryCompletion,
} from "../types.js";
import { Attempt, type Step } from "./step.js";
import { accountedBuild, dropUnneeded, fail, finish, makeReady, ownBuildsOf, withdraw } from "./step-life.js";

/** An attempt that ended before it reached its machine, unasked, is not tried again at once. */
const notStartedDelayMs = 1000;

/** Assigns the best steps as long as one fits a machine. */
export function assign(
  core: SettledCore,
  newAttemptId: (step: StepId, machine: MachineId) => AttemptId,
  limit: number,
): Assignment[] {
  const result: Assignment[] = [];
  while (result.length < limit) {
    const queue = core.board.best();
    if (queue === undefined) break;
    const machine = core.pool.pick(queue);
    // Finding the head costs more than finding a machine.
    const step = machine === undefined ? undefined : queue.head;
    if (machine === undefined || step === undefined) core.board.park(queue);
    else result.push(start(core, step, machine, newAttemptId(step.id, machine.info.id), core.now));
  }
  return result;
}

/** Reserves a slot for the step. */
export function start(
  core: SettledCore,
  step: Step,
  machine: Machine,
  id: AttemptId,
  startedAt: number,
): Assignment {
  if (core.attempts.has(id))
    throw new SchedulerError("duplicate-attempt", `an attempt id of ${step.id} was used before`);
  withdraw(core, step);
  const { system } = step.bucket;
  core.waitedMs.set(system, (core.waitedMs.get(system) ?? 0) + Math.max(0, startedAt - step.readySince));
  const limits = limitsOf(core, step);
  const usage = core.shares.charge(step.keys.jobsets, startedAt, step.expectedMs);
  core.armPrune();
  const attempt = new Attempt(id, step, machine, accountedBuild(step), startedAt, limits, usage);
  attempt.timer = new Timer(({ now, random, effects }) => {
    effects.push(expire(core.settledAt(now), attempt, random));
  });
  armDeadline(core, attempt);
  core.attempts.set(id, attempt);
  step.attempt = attempt;
  step.state = "running";
  step.bucket.running++;
  machine.attempts.add(attempt.id);
  machine.recent.push(attempt);
  machine.jobs++;
  machine.idleSince = 0;
  core.pool.refresh(machine, core.now);
  core.counters.attemptsStarted++;
  return {
    attempt: id,
    step: step.id,
    machine: machine.info.id,
    build: attempt.build,
    ownBuilds: ownBuildsOf(step),
    limits,
    tries: step.tries,
    runnableSince: step.runnableSince,
  };
}

/** The largest of the dependent builds' limits; a mere dependency gets at least the defaults. */
function limitsOf(core: Core, step: Step): AttemptLimits {
  let { maxSilent, timeout } = step.keys;
  if (step.builds.length === 0) {
    maxSilent = Math.max(maxSilent, limitKey(core.options.defaultMaxSilent));
    timeout = Math.max(timeout, limitKey(core.options.defaultTimeout));
  }
  return core.limits(limitSeconds(maxSilent), limitSeconds(timeout));
}

/** The build message is on its way: the acknowledgement is due `acknowledgeMs` from now. */
export function sent(core: Core, attempt: Attempt): void {
  const { acknowledgeMs } = core.options.deadlines;
  attempt.onItsWay = true;
  if (attempt.phase !== "sent" || acknowledgeMs === 0 || attempt.timer === undefined) return;
  core.timers.set(attempt.timer, core.now + acknowledgeMs);
}

/** The builder has received the build message; the deadline of the step starts. */
export function acknowledge(core: Core, attempt: Attempt): void {
  if (attempt.phase !== "sent") return;
  attempt.onItsWay = true;
  attempt.phase = "building";
  armDeadline(core, attempt);
}

/** The step's own timeout, plus a grace for everything around it. */
function armDeadline(core: Core, attempt: Attempt): void {
  const { timer, limits } = attempt;
  if (timer === undefined) return;
  if (limits.timeout === 0) core.timers.clear(timer);
  else core.timers.set(timer, attempt.startedAt + limits.timeout * 1000 + core.options.deadlines.graceMs);
}

/** The build is over and frees its slot; its outputs may still be uploaded until the deadline for that. */
export function buildEnded(core: Core, attempt: Attempt): void {
  if (!attempt.holdsSlot) return;
  releaseSlot(core, attempt);
  attempt.machine.uploads++;
  if (attempt.phase !== "cancelling") {
    attempt.phase = "uploading";
    const { uploadMs } = core.options.deadlines;
    if (attempt.timer !== undefined) {
      if (uploadMs > 0) core.timers.set(attempt.timer, core.now + uploadMs);
      else core.timers.clear(attempt.timer);
    }
  }
  core.pool.refresh(attempt.machine, core.now);
}

function releaseSlot(core: Core, attempt: Attempt): void {
  const { machine } = attempt;
  attempt.holdsSlot = false;
  machine.jobs--;
  const recent = machine.recent.indexOf(attempt);
  if (recent >= 0) machine.recent.splice(recent, 1);
  core.shares.correct(attempt.usage, core.now - attempt.startedAt);
  core.armPrune();
}

/** Takes the attempt off its machine and its step. The step is left without a state of its own. */
function detach(core: Core, attempt: Attempt): EndedAttempt {
  const { step, machine } = attempt;
  if (attempt.holdsSlot) releaseSlot(core, attempt);
  else machine.uploads--;
  machine.attempts.delete(attempt.id);
  machine.stepsDone++;
  if (machine.attempts.size === 0) machine.idleSince = core.now;
  core.attempts.delete(attempt.id);
  core.timers.clear(attempt.timer);
  step.attempt = undefined;
  step.state = "blocked";
  step.bucket.running--;
  return {
    attempt: attempt.id,
    machine: machine.info.id,
    build: attempt.build,
    startedAt: attempt.startedAt,
  };
}

/** The attempt ends because its step turned out to be another one; no result of the machine. */
export function endWithoutResult(core: Core, attempt: Attempt): EndedAttempt {
  const ended = detach(core, attempt);
  core.pool.refresh(attempt.machine, core.now);
  return ended;
}

/** A result for a live attempt. */
export function complete(
  core: SettledCore,
  attempt: Attempt,
  outcome: AttemptOutcome,
  random: Random,
): Completion {
  const { step, machine } = attempt;
  const cancelling = attempt.phase === "cancelling";
  const ended = detach(core, attempt);
  if (!cancelling) countResult(core, attempt, outcome, random);
  core.pool.refresh(machine, core.now);
  if (outcome.kind === "succeeded") return finish(core, step, ended);
  // An aborted build may look like a failed one; its derivation is not to blame.
  if (cancelling) return cancelled(core, step, ended);
  if (outcome.kind === "failed") {
    step.tries++;
    return fail(core, step, outcome.status, outcome.reason, ended);
  }
  if (!step.needed) return cancelled(core, step, ended);
  if (outcome.kind === "retryable") {
    step.avoid = machine.gone ? undefined : machine.info.id;
    return retry(core, step, outcome, ended, random);
  }
  if (outcome.kind === "cancelled") {
    return wait(core, step, { reason: "not started", delayMs: notStartedDelayMs, counts: false, ended });
  }
  core.counters.postponed++;
  const { reason, delayMs } = outcome;
  return wait(core, step, { reason, delayMs: Math.max(1, delayMs), counts: false, ended });
}

function countResult(core: Core, attempt: Attempt, outcome: AttemptOutcome, random: Random): void {
  const { machine } = attempt;
  switch (outcome.kind) {
    case "succeeded":
      machine.succeeded++;
      proveSound(machine);
      break;
    case "failed":
      machine.failed++;
      // The derivation failed, the machine did its work.
      proveSound(machine);
      break;
    case "retryable":
      machine.failed++;
      weigh(core, attempt, outcome, random);
      break;
    case "postponed":
    case "cancelled":
      break;
  }
}

function proveSound(machine: Machine): void {
  machine.releasedBy = "worked";
  machine.breaker.succeeded();
}

type Retryable = Extract<AttemptOutcome, { readonly kind: "retryable" }>;

/** What a failed try proves about its machine, and about those where the step failed before. */
function weigh(
  core: Core,
  { step, machine }: Attempt,
  { evidence, reason }: Retryable,
  random: Random,
): void {
  switch (evidence.says) {
    case "nothing":
      break;
    case "works":
      proveSound(machine);
      break;
    case "broken":
      if (step.tries > 0) acquitOther(core, step, machine);
      else {
        step.suspects = machine;
        const seen = { fault: evidence.fault, reason, step: step.id };
        if (core.pool.blame(machine, seen, core.now, random)) core.counters.holds++;
      }
      break;
  }
}

/** A step that finds fault with several machines is itself what they have in common. */
function acquitOther(core: Core, step: Step, machine: Machine): void {
  const suspected = step.suspects;
  if (suspected === undefined || suspected.breaker === machine.breaker) return;
  step.suspects = undefined;
  if (!suspected.breaker.acquit(step.id, core.options.breaker)) return;
  suspected.releasedBy = "acquitted";
  core.pool.refresh(suspected, core.now);
}

function retry(
  core: SettledCore,
  step: Step,
  { reason, exhausted }: Retryable,
  ended: EndedAttempt,
  random: Random,
): RetryCompletion | ReturnType<typeof fail> {
  step.tries++;
  core.counters.maxTries = Math.max(core.counters.maxTries, step.tries);
  const delay = core.retry.delayAfter(step.tries, random);
  if (delay === undefined) return fail(core, step, exhausted, reason, ended);
  core.counters.retries++;
  return wait(core, step, { reason, delayMs: delay, counts: true, ended });
}

interface Wait extends Pick<RetryCompletion, "reason" | "counts" | "ended"> {
  readonly delayMs: number;
}

function wait(core: Core, step: Step, { delayMs, ...why }: Wait): RetryCompletion {
  const at = core.now + delayMs;
  step.lastReason = why.reason;
  step.notBefore = at;
  makeReady(core, step);
  return { kind: "retry", step: step.id, at, tries: step.tries, ...why };
}

function cancelled(core: Core, step: Step, ended: EndedAttempt): Completion {
  core.counters.cancelled++;
  const wantedAgain = step.needed;
  if (wantedAgain) makeReady(core, step);
  else dropUnneeded(core, [step], false);
  return { kind: "cancelled", step: step.id, ended, wantedAgain };
}

/** The attempt's deadline passed: acknowledgement, timeout plus grace, upload, or confirmation of an abort. */
function expire(core: SettledCore, attempt: Attempt, random: Random): Effect {
  const { phase, machine } = attempt;
  core.counters.deadlinesMissed++;
  const cause =
    phase === "sent" ? "unacknowledged" : phase === "cancelling" ? "cancelUnconfirmed" : "deadline";
  const completion = complete(
    core,
    attempt,
    {
      kind: "retryable",
      reason: phase === "sent" ? "the builder did not acknowledge the build" : "deadline passed",
      exhausted: failureStatus.aborted,
      evidence: { says: "broken", fault: "connection" },
    },
    random,
  );
  return {
    kind: "attemptEnded",
    cause,
    attempt: attempt.id,
    machine: machine.info.id,
    abort: true,
    completion,
  };
}
