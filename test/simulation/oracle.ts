/**
 * The rules, told a second time and as simply as possible: everything is recomputed from scratch from the views.
 * Slow by design; the simulated graphs are small.
 */
import type {
  AttemptOutcome,
  Completion,
  MachineView,
  Scheduler,
  StepId,
  StepOrderName,
  StepView,
} from "../../lib/scheduler/index.js";

/** What the simulated world knows of the edges that must be in the scheduler's memory. */
export interface Expected {
  /** Unfinished inputs of each step the scheduler should know. */
  readonly inputs: ReadonlyMap<StepId, ReadonlySet<StepId>>;
  /** Machine of each step's last failed try. */
  readonly avoid: ReadonlyMap<StepId, string>;
  /** Since when no machine can do a step that is ready; kept by the check itself. */
  readonly unsupportedSince: Map<StepId, number>;
  /** Host names of machines where something other than a failing script was seen. */
  readonly faulty: ReadonlySet<string>;
  readonly held: (step: StepId) => boolean;
  readonly expectedMs: (step: StepId) => number;
}

class InvariantError extends Error {
  constructor(
    readonly invariant: string,
    detail: string,
  ) {
    super(`${invariant}: ${detail}`);
  }
}

export function demand(condition: boolean, invariant: string, detail: () => string): void {
  if (!condition) throw new InvariantError(invariant, detail());
}

export function fits(step: StepView, machine: MachineView): boolean {
  const { systems, supportedFeatures, mandatoryFeatures } = machine.info;
  return (
    (step.system === "builtin" || systems.includes(step.system)) &&
    mandatoryFeatures.every((f) => step.features.includes(f) || (f === "local" && step.preferLocal)) &&
    step.features.every((f) => supportedFeatures.includes(f))
  );
}

/** Free for this step: it fits, has capacity, and is not to be avoided while another can do it. */
export function canTake(
  step: StepView,
  machine: MachineView,
  machines: readonly MachineView[],
  expected: Expected,
): boolean {
  if (!fits(step, machine) || machine.block !== undefined) return false;
  if (machine.onTrial && step.tries > 0) return false;
  if (expected.avoid.get(step.id) !== machine.info.id) return true;
  return !machines.some((other) => other !== machine && fits(step, other) && isAble(other));
}

function isAble({ block, onTrial }: MachineView): boolean {
  if (onTrial) return false;
  return block === undefined || block.kind === "full" || block.kind === "uploads" || block.kind === "burst";
}

/** Negative when `a` must go first; 0 when either may. */
export function compare(order: StepOrderName, a: StepView, b: StepView): number {
  const keys: number[] = [
    b.globalPriority - a.globalPriority,
    a.lowestShareUsed === b.lowestShareUsed ? 0 : a.lowestShareUsed - b.lowestShareUsed,
  ];
  if (order === "WithRdeps") keys.push(b.dependents - a.dependents);
  if (order === "WithCriticalPath") keys.push(b.criticalPath - a.criticalPath);
  keys.push(b.localPriority - a.localPriority, a.lowestBuild - b.lowestBuild);
  return keys.find((key) => key !== 0) ?? 0;
}

/** Checks everything that must hold between two events. */
export function checkState(scheduler: Scheduler, now: number, expected: Expected): void {
  const steps = new Map(scheduler.steps().map((step) => [step.id, step]));
  const machines = scheduler.machines(now);
  checkOwnership(scheduler, steps, machines);
  checkDeadlines(scheduler, now);
  checkLiveness(scheduler, steps, now, expected);
  checkKeys(scheduler, steps, expected);
  checkSlots(steps, machines, expected);
  checkHolds(machines, expected);
  checkUnsupported(scheduler, steps, machines, now, expected);
}

/** A step that no machine can do says so, and fails when its time is over. */
function checkUnsupported(
  scheduler: Scheduler,
  steps: ReadonlyMap<StepId, StepView>,
  machines: readonly MachineView[],
  now: number,
  { unsupportedSince }: Expected,
): void {
  const name = "a step that no machine can do fails in time";
  const { maxUnsupportedMs } = scheduler.options;
  for (const id of unsupportedSince.keys()) if (!steps.has(id)) unsupportedSince.delete(id);
  for (const step of steps.values()) {
    const impossible = step.state === "ready" && !machines.some((machine) => fits(step, machine));
    const { code } = scheduler.why(step.id, now);
    demand(impossible === (code === "unsupported"), name, () => `${step.id} says ${code}`);
    if (!impossible) {
      unsupportedSince.delete(step.id);
      continue;
    }
    const since = unsupportedSince.get(step.id) ?? now;
    unsupportedSince.set(step.id, since);
    const at = Math.max(now, since + maxUnsupportedMs);
    demand((scheduler.nextEventAt() ?? Infinity) <= at, name, () => `${step.id} has no timer`);
  }
}

function checkOwnership(
  scheduler: Scheduler,
  steps: ReadonlyMap<StepId, StepView>,
  machines: readonly MachineView[],
): void {
  const attempts = scheduler.attempts();
  const running = new Set<StepId>();
  for (const { step, attempt, machine } of attempts) {
    demand(!running.has(step), "I4: one owner per derivation", () => `${step} runs twice`);
    running.add(step);
    demand(
      steps.get(step)?.attempt === attempt,
      "I4: one owner per derivation",
      () => `${attempt} is not its step's`,
    );
    demand(
      machines.some(({ info, attempts: own }) => info.id === machine && own.includes(attempt)),
      "I5: no attempt without a live owner",
      () => `${attempt} belongs to ${machine}`,
    );
  }
  for (const machine of machines) {
    const own = attempts.filter((attempt) => attempt.machine === machine.info.id);
    demand(
      machine.jobs + machine.uploads === own.length && machine.attempts.length === own.length,
      "I6: slots used = jobs owned",
      () => `${machine.info.id}: ${machine.jobs} + ${machine.uploads} against ${own.length}`,
    );
  }
}

/** All deadlines of the plans one after the other, with their longest time-outs. */
const longestAttemptMs = 1_000_000;

function checkDeadlines(scheduler: Scheduler, now: number): void {
  for (const { attempt, startedAt, phase } of scheduler.attempts()) {
    const age = now - startedAt;
    demand(
      age <= longestAttemptMs,
      "I5: nothing stays busy beyond the deadline",
      () => `${attempt} is ${phase} for ${age} ms`,
    );
  }
}

/** What may follow when an attempt ends so. */
export function checkEnd(scheduler: Scheduler, now: number, outcome: AttemptOutcome, end: Completion): void {
  if (end.kind === "failed") {
    const own = outcome.kind === "retryable" ? outcome.exhausted : 3;
    const status = outcome.kind === "failed" ? outcome.status : own;
    const name =
      outcome.kind === "failed" || own === 1
        ? "I13: the status recorded is the status reported"
        : "I9: infrastructure trouble never fails a step as a build failure";
    demand(end.status === status, name, () => `${end.step}: ${outcome.kind} became ${end.status}`);
  }
  if (outcome.kind !== "succeeded") {
    demand(end.kind !== "finished", "I9: only a success finishes a step", () => outcome.kind);
  }
  if (end.kind === "retry") {
    const name = "I11: every retry has a delay, a cap and a visible reason";
    demand(end.at > now && end.at <= now + 3_600_000, name, () => `${end.step} at ${end.at}, now ${now}`);
    const { maxTries } = scheduler.options.retry;
    const capped = outcome.kind !== "retryable" || end.tries < maxTries;
    demand(capped, name, () => `${end.step} tried ${end.tries} times of ${maxTries}`);
    const why = scheduler.why(end.step, now);
    demand(why.code === "retryLater" && why.reason === end.reason, name, () => JSON.stringify(why));
  }
}

function checkLiveness(
  scheduler: Scheduler,
  steps: ReadonlyMap<StepId, StepView>,
  now: number,
  expected: Expected,
): void {
  const queued = new Set(scheduler.queues().flatMap((queue) => queue.steps.map((step) => step.id)));
  for (const step of steps.values()) {
    const inputs = expected.inputs.get(step.id);
    const reason = scheduler.why(step.id, now);
    const name = "I7: a step is queued, scheduled, waiting or gated";
    demand(
      inputs !== undefined || step.state === "running",
      name,
      () => `${step.id} is in memory for no build`,
    );
    demand(
      step.dependencies === (inputs?.size ?? 0),
      name,
      () => `${step.id} waits for ${step.dependencies} inputs instead of ${inputs?.size}`,
    );
    const mayRun = step.dependencies === 0 && !expected.held(step.id);
    demand(mayRun === (step.state !== "blocked"), name, () => `${step.id} is ${step.state} (${reason.code})`);
    demand((step.state === "running") === (step.attempt !== undefined), name, () => `${step.id}: no attempt`);
    demand(queued.has(step.id) === (step.state === "ready" || step.state === "running"), name, () => step.id);
    if (step.state === "delayed") {
      demand((scheduler.nextEventAt() ?? Infinity) <= step.notBefore, name, () => `${step.id} has no timer`);
    }
    demand(reason.code !== "unknown", "every step says why", () => step.id);
  }
  for (const id of expected.inputs.keys()) {
    demand(steps.has(id), "no step is lost", () => `${id} is needed but not in memory`);
  }
  const counted = Object.values(scheduler.reasons()).reduce((sum, n) => sum + n, 0);
  demand(counted === steps.size, "every step is counted once", () => JSON.stringify(scheduler.reasons()));
  const sizes = scheduler.sizes();
  demand(sizes.edges === [...steps.values()].reduce((sum, s) => sum + s.dependencies, 0), "edges", () => "");
}

/** Priorities, lowest build, jobsets and critical paths, from the builds down. */
function checkKeys(scheduler: Scheduler, steps: ReadonlyMap<StepId, StepView>, expected: Expected): void {
  const name = "priorities are those of the builds that need a step";
  const builds = scheduler.builds();
  const dependents = new Map<StepId, StepId[]>();
  for (const [id, inputs] of expected.inputs) {
    for (const input of inputs) dependents.set(input, [...(dependents.get(input) ?? []), id]);
  }
  const paths = new Map<StepId, number>();
  const pathOf = (id: StepId): number => {
    const known = paths.get(id);
    if (known !== undefined) return known;
    const path = expected.expectedMs(id) + Math.max(0, ...(dependents.get(id) ?? []).map(pathOf));
    paths.set(id, path);
    return path;
  };
  for (const step of steps.values()) {
    const above = new Set([step.id]);
    for (const id of above) for (const dependent of dependents.get(id) ?? []) above.add(dependent);
    const users = builds.filter((build) => above.has(build.step));
    const say = (what: string) => () => `${what} of ${step.id}`;
    const max = (values: number[]): number => (values.length === 0 ? 0 : Math.max(...values));
    demand(step.globalPriority === max(users.map((b) => b.globalPriority)), name, say("global priority"));
    demand(step.localPriority === max(users.map((b) => b.localPriority)), name, say("local priority"));
    demand(
      step.lowestBuild === Math.min(2_147_483_647, ...users.map((b) => b.id)),
      name,
      say("lowest build"),
    );
    const jobsets = [...new Set(users.map((b) => b.jobset))].sort((a, b) => a - b);
    demand(step.jobsets.join() === jobsets.join(), name, say("jobsets"));
    const shares = jobsets.map((id) => scheduler.jobset(id)?.shareUsed ?? 0);
    demand(step.lowestShareUsed === (shares.length === 0 ? 1e9 : Math.min(...shares)), name, say("share"));
    demand(step.dependents === (dependents.get(step.id)?.length ?? 0), name, say("dependents"));
    if (scheduler.options.stepOrder === "WithCriticalPath") {
      demand(step.criticalPath === pathOf(step.id), name, say("critical path"));
    }
  }
}

/** Machines are restricted for faults of their own, and for what builds report only while others can do the same. */
function checkHolds(machines: readonly MachineView[], { faulty }: Expected): void {
  for (const machine of machines) {
    const { block, info, onTrial } = machine;
    const held = block?.kind === "held";
    if (!held && !onTrial) continue;
    demand(
      faulty.has(info.hostname),
      "no healthy machine is held because of builds",
      () => `${info.id}: ${JSON.stringify(block)}`,
    );
    const brief = held && (block.fault === "connection" || block.fault === "daemon");
    const others = machines.filter((other) => other !== machine && isAble(other) && replaces(other, machine));
    demand(
      brief ||
        info.systems.every((system) => others.some(({ info: { systems } }) => systems.includes(system))),
      "the last machine in service is not held because of builds",
      () => `${info.id}: ${JSON.stringify(block)}`,
    );
  }
}

function replaces({ info: one }: MachineView, { info: other }: MachineView): boolean {
  return (
    other.supportedFeatures.every((feature) => one.supportedFeatures.includes(feature)) &&
    one.mandatoryFeatures.every((feature) => other.mandatoryFeatures.includes(feature))
  );
}

function checkSlots(
  steps: ReadonlyMap<StepId, StepView>,
  machines: readonly MachineView[],
  expected: Expected,
): void {
  for (const step of steps.values()) {
    if (step.state !== "ready") continue;
    const idle = machines.find((machine) => canTake(step, machine, machines, expected));
    demand(
      idle === undefined,
      "no runnable step waits while a fitting slot is free",
      () => `${step.id} could run on ${idle?.info.id}`,
    );
  }
}
