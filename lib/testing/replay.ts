/**
 * What a policy would have done: a trace is scheduled again in virtual time, by the real scheduler, under any order and
 * on any fleet.
 */

import {
  type ArgumentRule,
  aFunction,
  aList,
  anAmount,
  anObject,
  aText,
  checkArgument,
  checkMembers,
  checkNoOthers,
  optional,
  someTexts,
} from "../argument-checks.js";
import { UsageError } from "../errors.js";
import {
  type Assignment,
  type AttemptId,
  attemptId,
  buildId,
  type JobsetId,
  jobsetId,
  type MachineId,
  type MachineInfo,
  machineId,
  type NewStep,
  type PolicyNotice,
  Scheduler,
  type SchedulerOptionsInput,
  type StepId,
  stepId,
} from "../scheduler/index.js";
import { policyRules } from "../scheduler/options.js";
import { addTo } from "./grouped.js";
import { type ReplayReport, waitsOf } from "./replay-report.js";
import { TimeQueue } from "./time-queue.js";
import { checkTrace, type Trace, type TraceBuild, type TraceMachine, type TraceStep } from "./trace.js";

const policyOptions = {
  ...policyRules,
  machines: optional(aList),
  durationMs: optional(aFunction),
} satisfies Record<keyof ReplayPolicy, ArgumentRule>;
const machineRules = {
  hostname: aText,
  systems: someTexts,
  features: someTexts,
  maxJobs: anAmount,
  speedFactor: optional(anAmount),
} satisfies Record<keyof TraceMachine, ArgumentRule>;

/** The policy and fleet to try. What is not given is as in a runner without configuration, and as in the trace. */
export interface ReplayPolicy
  extends Pick<SchedulerOptionsInput, "stepOrder" | "machineOrder" | "machineFree"> {
  /** The fleet. Default: the machines of the trace. */
  readonly machines?: readonly TraceMachine[] | undefined;
  /**
   * Milliseconds that a step takes on a machine. Default: its duration in the trace, whatever the machine.
   */
  readonly durationMs?: ((step: TraceStep, machine: TraceMachine) => number) | undefined;
}

/** A machine as the scheduler takes it, with room for everything but jobs. */
function machineInfo({ hostname, systems, features, maxJobs, speedFactor = 1 }: TraceMachine): MachineInfo {
  return {
    id: machineId(hostname),
    hostname,
    systems,
    supportedFeatures: features,
    mandatoryFeatures: [],
    cpuCount: 8,
    bogomips: 4000,
    speedFactor,
    maxJobs,
    buildDirAvailThreshold: 0,
    storeAvailThreshold: 0,
    load1Threshold: 1000,
    cpuPsiThreshold: 100,
    memPsiThreshold: 100,
  };
}

/** Steps that are done have left the scheduler, so they are not named as inputs. */
function newStep(step: TraceStep, done: ReadonlySet<StepId>): NewStep {
  return {
    id: stepId(step.drv),
    name: step.name,
    system: step.system,
    features: step.features,
    inputs: step.inputs.map((input) => ({ id: stepId(input) })).filter(({ id }) => !done.has(id)),
    expectedDurationMs: step.expectedMs ?? step.durationMs,
  };
}

/** The steps below `root`, inputs first, that `seen` does not have; they are added to it. Iterative: chains are deep. */
function newlyWanted(steps: ReadonlyMap<string, TraceStep>, root: string, seen: Set<string>): TraceStep[] {
  const found: TraceStep[] = [];
  const stack: { readonly step: TraceStep; next: number }[] = [];
  const enter = (drv: string): void => {
    const step = steps.get(drv);
    if (step === undefined || seen.has(drv)) return;
    seen.add(drv);
    stack.push({ step, next: 0 });
  };
  enter(root);
  for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
    const input = top.step.inputs[top.next++];
    if (input !== undefined) {
      enter(input);
    } else {
      found.push(top.step);
      stack.pop();
    }
  }
  return found;
}

/** Steps that cannot run on this fleet, or need one that cannot. */
function unsupportedSteps(trace: Trace, fleet: readonly TraceMachine[]): Set<string> {
  const runs = ({ system, features }: TraceStep): boolean =>
    fleet.some(
      (machine) =>
        machine.maxJobs > 0 &&
        (system === "builtin" || machine.systems.includes(system)) &&
        features.every((feature) => machine.features.includes(feature)),
    );
  const dependents = new Map<string, string[]>();
  for (const { drv, inputs } of trace.steps) {
    for (const input of inputs) addTo(dependents, input, drv);
  }
  const left = new Set(trace.steps.filter((step) => !runs(step)).map(({ drv }) => drv));
  // A set visits what is added while it is walked through.
  for (const drv of left) for (const dependent of dependents.get(drv) ?? []) left.add(dependent);
  return left;
}

const nameOf = ({ project, jobset }: TraceBuild): string => `${project}:${jobset}`;

type Happening =
  | { readonly kind: "queued"; readonly builds: readonly TraceBuild[] }
  | {
      readonly kind: "ended";
      readonly attempt: AttemptId;
      readonly step: StepId;
      readonly machine: MachineId;
    };

/** One replay under way. */
class Replay {
  readonly #scheduler: Scheduler;
  readonly #steps: ReadonlyMap<string, TraceStep>;
  readonly #fleet: ReadonlyMap<MachineId, TraceMachine>;
  readonly #durationMs: NonNullable<ReplayPolicy["durationMs"]>;
  readonly #unsupported: ReadonlySet<string>;
  readonly #agenda = new TimeQueue<Happening>();
  readonly #jobsets = new Map<
    string,
    { readonly id: JobsetId; readonly steps: number[]; readonly builds: number[] }
  >();
  readonly #machines = new Map<MachineId, { steps: number; busyMs: number }>();
  readonly #wanted = new Set<string>();
  /** Jobset of the build that was queued first with the step. */
  readonly #owners = new Map<StepId, string>();
  readonly #dependents = new Map<StepId, StepId[]>();
  readonly #openInputs = new Map<StepId, number>();
  readonly #readyAt = new Map<StepId, number>();
  readonly #done = new Set<StepId>();
  readonly #waitingBuilds = new Map<StepId, TraceBuild[]>();
  readonly #broken: PolicyNotice[] = [];
  /** When the first build is queued; the time before tells nothing of the policy. */
  readonly #begin: number;
  #attempts = 0;
  #ended = 0;

  constructor(trace: Trace, policy: ReplayPolicy) {
    const { stepOrder, machineOrder, machineFree, machines = trace.machines } = policy;
    this.#scheduler = new Scheduler(
      {
        ...(stepOrder === undefined ? {} : { stepOrder }),
        ...(machineOrder === undefined ? {} : { machineOrder }),
        ...(machineFree === undefined ? {} : { machineFree }),
        deadlines: { acknowledgeMs: 0, heartbeatMs: 0, uploadMs: 0 },
        defaultTimeout: 0,
      },
      (notice) => {
        if (notice.kind === "policyFailed") this.#broken.push(notice);
      },
    );
    this.#steps = new Map(trace.steps.map((step) => [step.drv, step]));
    this.#fleet = new Map(machines.map((machine) => [machineId(machine.hostname), machine]));
    this.#durationMs = policy.durationMs ?? ((step) => step.durationMs);
    this.#unsupported = unsupportedSteps(trace, machines);
    for (const build of trace.builds) {
      const name = nameOf(build);
      if (this.#jobsets.has(name)) continue;
      const id = jobsetId(this.#jobsets.size + 1);
      this.#jobsets.set(name, { id, steps: [], builds: [] });
      const { project, jobset } = build;
      this.#scheduler.upsertJobset({ id, project, name: jobset, shares: trace.shares[name] ?? 100 });
    }
    for (const machine of machines) {
      const info = machineInfo(machine);
      this.#scheduler.addMachine(info, 0, () => 0);
      this.#machines.set(info.id, { steps: 0, busyMs: 0 });
    }
    const arrivals = new Map<number, TraceBuild[]>();
    for (const build of trace.builds) addTo(arrivals, build.queuedMs, build);
    this.#begin = trace.builds.reduce((first, { queuedMs }) => Math.min(first, queuedMs), Infinity);
    for (const [at, builds] of arrivals) this.#agenda.push(at, { kind: "queued", builds });
  }

  run(): ReplayReport {
    let makespanMs = 0;
    for (let next = this.#agenda.pop(); next !== undefined; next = this.#agenda.pop()) {
      const { at, value } = next;
      if (value.kind === "queued") this.#queue(value.builds, at);
      else {
        this.#end(value.step, value.attempt, at);
        makespanMs = at - this.#begin;
      }
      for (const assignment of this.#scheduler.assign(at, () => attemptId(`a${this.#attempts++}`))) {
        this.#start(assignment, at);
      }
    }
    const { steps } = this.#scheduler.sizes();
    if (steps !== 0) {
      throw new UsageError(`replay: ${steps} steps were never built: 'machineFree' let no machine have them`);
    }
    return this.#report(makespanMs);
  }

  #queue(builds: readonly TraceBuild[], now: number): void {
    const possible = builds.filter(({ drv }) => !this.#unsupported.has(drv));
    for (const build of possible) {
      const fresh = newlyWanted(this.#steps, build.drv, this.#wanted);
      for (const step of fresh) this.#watch(step, nameOf(build), now);
      if (fresh.length > 0) {
        const added = fresh.map((step) => newStep(step, this.#done));
        this.#scheduler.addSteps(added, now);
      }
      const step = stepId(build.drv);
      if (this.#done.has(step)) {
        this.#jobsets.get(nameOf(build))?.builds.push(0);
        continue;
      }
      addTo(this.#waitingBuilds, step, build);
      this.#scheduler.addBuild(
        {
          id: buildId(build.id),
          jobset: this.#jobsets.get(nameOf(build))?.id ?? jobsetId(0),
          step,
          globalPriority: build.globalPriority ?? 0,
          localPriority: build.localPriority ?? 100,
          timestamp: Math.floor(now / 1000),
        },
        now,
      );
    }
  }

  #watch(step: TraceStep, jobset: string, now: number): void {
    const id = stepId(step.drv);
    this.#owners.set(id, jobset);
    let open = 0;
    for (const name of new Set(step.inputs)) {
      const input = stepId(name);
      if (this.#done.has(input)) continue;
      open++;
      addTo(this.#dependents, input, id);
    }
    if (open === 0) this.#readyAt.set(id, now);
    else this.#openInputs.set(id, open);
  }

  #start({ attempt, step, machine }: Assignment, now: number): void {
    const info = this.#steps.get(step);
    const host = this.#fleet.get(machine);
    if (info === undefined || host === undefined)
      throw new Error(`${step} went to ${machine}, which is not known`);
    const took = this.#durationMs(info, host);
    checkArgument("replay", "what 'durationMs' returns", took, anAmount);
    const use = this.#machines.get(machine);
    if (use !== undefined) {
      use.steps++;
      use.busyMs += took;
    }
    this.#jobsets.get(this.#owners.get(step) ?? "")?.steps.push(now - (this.#readyAt.get(step) ?? now));
    this.#agenda.push(now + took, { kind: "ended", attempt, step, machine });
  }

  #end(step: StepId, attempt: AttemptId, now: number): void {
    this.#ended++;
    this.#done.add(step);
    this.#scheduler.complete(attempt, { kind: "succeeded" }, now, () => 0);
    for (const dependent of this.#dependents.get(step) ?? []) {
      const open = (this.#openInputs.get(dependent) ?? 1) - 1;
      if (open > 0) {
        this.#openInputs.set(dependent, open);
      } else {
        this.#openInputs.delete(dependent);
        this.#readyAt.set(dependent, now);
      }
    }
    this.#dependents.delete(step);
    for (const build of this.#waitingBuilds.get(step) ?? []) {
      this.#jobsets.get(nameOf(build))?.builds.push(now - build.queuedMs);
    }
    this.#waitingBuilds.delete(step);
  }

  #report(makespanMs: number): ReplayReport {
    const jobsets = [...this.#jobsets].map(
      ([name, { steps, builds }]) => [name, { steps: waitsOf(steps), builds: waitsOf(builds) }] as const,
    );
    const machines = [...this.#machines].map(([id, { steps, busyMs }]) => {
      const host = this.#fleet.get(id);
      const capacity = makespanMs * (host?.maxJobs ?? 0);
      return [host?.hostname ?? id, { steps, busyMs, use: capacity === 0 ? 0 : busyMs / capacity }] as const;
    });
    return {
      makespanMs,
      steps: this.#ended,
      unsupported: [...this.#unsupported].toSorted(),
      jobsets: new Map(jobsets),
      machines: new Map(machines),
      broken: this.#broken,
    };
  }
}

/**
 * Schedules a trace again under a policy. Deterministic: equal arguments give equal reports. Costs about the time that the
 * scheduler needs for as many steps (tens of thousands a second).
 *
 * @throws TraceError when the trace names steps that it does not have; UsageError for a policy that cannot be used: one
 *   that lets steps have no machine, or a `durationMs` that returns no amount
 */
export function replay(trace: Trace, policy: ReplayPolicy = {}): ReplayReport {
  checkMembers("replay", trace, { steps: aList, builds: aList, machines: aList, shares: anObject });
  checkMembers("replay", policy, policyOptions);
  checkNoOthers("replay", policy, policyOptions);
  for (const [index, machine] of (policy.machines ?? []).entries())
    checkMembers(`replay: machine ${index}`, machine, machineRules);
  return new Replay(checkTrace(trace), policy).run();
}
