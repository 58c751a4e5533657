/** The scheduler itself: sets the time, finds what the ids mean, and leaves the work to the parts. */
import { aFunction, checkArgument } from "../argument-checks.js";
import type { SchedulerCommands, SchedulerQueries, SchedulerViews } from "./api.js";
import * as check from "./check-input.js";
import { Core } from "./core.js";
import { SchedulerError } from "./errors.js";
import type { AttemptId, BuildId, JobsetId, MachineId, StepId } from "./ids.js";
import * as machines from "./machines/machine-life.js";
import type { MachineInfo, MachineLoad } from "./machines/machine-types.js";
import {
  defaultOptions,
  mergeOptions,
  type SchedulerOptions,
  type SchedulerOptionsInput,
} from "./options.js";
import type { Random } from "./random.js";
import { RetryPolicy } from "./retry-policy.js";
import * as attempts from "./steps/attempt-life.js";
import * as ingest from "./steps/ingest.js";
import type { Attempt } from "./steps/step.js";
import * as steps from "./steps/step-life.js";
import type { TimerContext } from "./timers.js";
import {
  type Assignment,
  type AttemptOutcome,
  type BuildPriorities,
  type Completion,
  type Effect,
  type FailedCompletion,
  type FailureStatus,
  type FinishedCompletion,
  failureStatus,
  type JobsetUsage,
  type NewBuild,
  type NewJobset,
  type NewStep,
  type Replacement,
  type RunningAttempt,
  type SchedulerNotice,
  type StepInput,
  type WhyNotRunning,
} from "./types.js";
import * as picture from "./views/queue-picture.js";
import * as snapshot from "./views/snapshot.js";
import type * as views from "./views/views.js";
import { reasonCounts, why } from "./views/why.js";

/**
 * Decides which step runs on which machine, and keeps what it needs to know for that in memory. What each method
 * promises is written at {@link SchedulerCommands}, {@link SchedulerQueries} and {@link SchedulerViews}.
 */
export class Scheduler implements SchedulerCommands, SchedulerQueries, SchedulerViews {
  readonly #core: Core;

  /** `noticed` is called in the middle of a change: it must neither throw nor call back. Default: nothing. */
  constructor(options: SchedulerOptionsInput = {}, noticed: (notice: SchedulerNotice) => void = () => {}) {
    checkArgument("Scheduler", "argument 'noticed'", noticed, aFunction);
    this.#core = new Core(mergeOptions(defaultOptions, options), {
      wantedChanged: steps.wantedChanged,
      noticed,
      unsupported(unsettled, step, { now, effects }: TimerContext) {
        const core = unsettled.settledAt(now);
        if (!step.keys.wanted) return;
        const reason = `unsupported system type '${step.bucket.system}'`;
        core.counters.unsupportedFailed++;
        effects.push({
          kind: "stepUnsupported",
          completion: steps.fail(core, step, failureStatus.unsupported, reason, undefined),
        });
      },
    });
  }

  get options(): SchedulerOptions {
    return this.#core.options;
  }

  setOptions(change: SchedulerOptionsInput, now: number): void {
    const core = this.#core.settledAt(now);
    const before = core.options;
    const after = mergeOptions(before, change);
    core.options = after;
    core.retry = new RetryPolicy(after.retry);
    core.setStepOrder(after.stepOrder);
    core.pool.setOptions(after, now);
    for (const machine of core.pool.machines.values()) machines.armHeartbeat(core, machine);
    if (
      before.defaultMaxSilent !== after.defaultMaxSilent ||
      before.defaultTimeout !== after.defaultTimeout
    ) {
      ingest.refreshLimits(core, before);
    }
  }

  upsertJobset(jobset: NewJobset): void {
    check.checkJobset("upsertJobset", jobset);
    this.#core.shares.upsert(jobset);
  }

  loadJobsetUsage(id: JobsetId, usage: readonly JobsetUsage[], now: number): void {
    check.checkUsage("loadJobsetUsage", usage);
    const core = this.#core.settledAt(now);
    core.shares.load(id, usage, now);
    core.armPrune();
  }

  hasJobset(id: JobsetId): boolean {
    return this.#core.shares.get(id) !== undefined;
  }

  addSteps(batch: readonly NewStep[], now: number): void {
    check.checkSteps("addSteps", batch);
    ingest.addSteps(this.#core.at(now), batch);
  }

  dropUnneeded(ids: readonly StepId[], now: number): Effect[] {
    check.checkIds("dropUnneeded", ids);
    const core = this.#core.at(now);
    const found = ids.map((id) => core.graph.steps.get(id)).filter((step) => step !== undefined);
    return steps.dropUnneeded(core, found, true);
  }

  addBuild(build: NewBuild, now: number): void {
    check.checkBuild("addBuild", build);
    ingest.addBuild(this.#core.at(now), build);
  }

  removeBuild(id: BuildId, now: number): Effect[] {
    const core = this.#core.at(now);
    const build = core.builds.get(id);
    if (build === undefined) return [];
    core.counters.buildsRemoved++;
    steps.forgetBuild(core, build);
    return steps.dropUnneeded(core, [build.step], true);
  }

  setBuildPriority(id: BuildId, priorities: BuildPriorities, now: number): void {
    check.checkPriorities("setBuildPriority", priorities);
    const core = this.#core.at(now);
    const build = core.builds.get(id);
    if (build === undefined) throw new SchedulerError("unknown-build", `build ${id} is not known`);
    ingest.setBuildPriority(core, build, priorities);
  }

  hasStep(id: StepId): boolean {
    return this.#core.graph.find(id) !== undefined;
  }

  hasBuild(id: BuildId): boolean {
    return this.#core.builds.has(id);
  }

  ungate(id: StepId, now: number): void {
    const core = this.#core.settledAt(now);
    const step = core.graph.find(id);
    if (step?.gate === undefined) return;
    step.gate = undefined;
    core.gated--;
    if (step.dynamicPending !== undefined) core.dynamicPending++;
    steps.makeReady(core, step);
  }

  finishStep(id: StepId, now: number): FinishedCompletion {
    const core = this.#core.settledAt(now);
    const step = core.graph.find(id);
    if (step === undefined) {
      return {
        kind: "finished",
        step: id,
        ended: undefined,
        ownBuilds: [],
        released: [],
        dynamic: [],
        effects: [],
      };
    }
    steps.assertIdle(step, "finish it");
    return steps.finish(core, step, undefined);
  }

  failStep(id: StepId, status: FailureStatus, now: number, reason?: string): FailedCompletion {
    const core = this.#core.settledAt(now);
    const step = core.graph.get(id);
    steps.assertIdle(step, "fail it");
    return steps.fail(core, step, status, reason, undefined);
  }

  replaceStep(old: StepId, replacement: NewStep, now: number): Replacement {
    check.checkStep("replaceStep", replacement);
    const core = this.#core.settledAt(now);
    return ingest.replaceStep(core, core.graph.get(old), replacement);
  }

  addInputs(id: StepId, inputs: readonly StepInput[], now: number, producer?: StepId): void {
    check.checkInputs("addInputs", inputs);
    const core = this.#core.at(now);
    ingest.addInputs(core, core.graph.get(id), inputs, producer);
  }

  setExpectedDuration(id: StepId, durationMs: number): void {
    const core = this.#core;
    const step = core.graph.find(id);
    if (step === undefined) return;
    step.expectedMs = durationMs;
    core.graph.touch(step);
  }

  addMachine(info: MachineInfo, now: number, random: Random, running: readonly AttemptId[] = []): Effect[] {
    check.checkMachine("addMachine", info);
    check.checkFunction("addMachine", "random", random);
    check.checkIds("addMachine", running);
    return machines.join(this.#core.settledAt(now), info, running, random);
  }

  updateMachine(id: MachineId, load: MachineLoad, now: number): void {
    check.checkLoad("updateMachine", load);
    const core = this.#core.at(now);
    const machine = core.pool.machines.get(id);
    if (machine !== undefined) machines.ping(core, machine, load);
  }

  removeMachine(id: MachineId, now: number, random: Random): Effect[] {
    check.checkFunction("removeMachine", "random", random);
    const core = this.#core.settledAt(now);
    const machine = core.pool.machines.get(id);
    return machine === undefined ? [] : machines.lose(core, machine, "removed", random);
  }

  disconnectMachine(id: MachineId, until: number, now: number): void {
    const core = this.#core.settledAt(now);
    const machine = core.pool.machines.get(id);
    if (machine !== undefined) machines.disconnect(core, machine, until);
  }

  drainMachine(id: MachineId, now: number): void {
    this.#setDraining(id, true, now);
  }

  resumeMachine(id: MachineId, now: number): void {
    this.#setDraining(id, false, now);
  }

  hasMachine(id: MachineId): boolean {
    return this.#core.pool.machines.has(id);
  }

  assign(
    now: number,
    newAttemptId: (step: StepId, machine: MachineId) => AttemptId,
    limit = Number.POSITIVE_INFINITY,
  ): Assignment[] {
    check.checkFunction("assign", "newAttemptId", newAttemptId);
    return attempts.assign(this.#core.settledAt(now), newAttemptId, limit);
  }

  adoptAttempt(attempt: RunningAttempt, now: number): Assignment | undefined {
    check.checkRunning("adoptAttempt", attempt);
    const core = this.#core.settledAt(now);
    const step = core.graph.find(attempt.step);
    const machine = core.pool.machines.get(attempt.machine);
    if (step === undefined || machine === undefined || core.attempts.has(attempt.attempt)) return undefined;
    if (step.attempt !== undefined || step.blocked || !step.keys.wanted) return undefined;
    const assignment = attempts.start(core, step, machine, attempt.attempt, attempt.startedAt);
    this.acknowledged(attempt.attempt, now);
    return assignment;
  }

  sent(attempt: AttemptId, now: number): void {
    this.#withAttempt(attempt, now, attempts.sent);
  }

  acknowledged(attempt: AttemptId, now: number): void {
    this.#withAttempt(attempt, now, attempts.acknowledge);
  }

  buildEnded(attempt: AttemptId, now: number): void {
    this.#withAttempt(attempt, now, attempts.buildEnded);
  }

  complete(
    attempt: AttemptId,
    outcome: AttemptOutcome,
    now: number,
    random: Random,
    from?: MachineId,
  ): Completion {
    check.checkOutcome("complete", outcome);
    check.checkFunction("complete", "random", random);
    const core = this.#core.settledAt(now);
    const found = core.attempts.get(attempt);
    if (found === undefined || (from !== undefined && found.machine.info.id !== from)) {
      core.counters.staleReports++;
      return { kind: "stale" };
    }
    return attempts.complete(core, found, outcome, random);
  }

  nextEventAt(): number | undefined {
    return this.#core.settled().timers.nextAt;
  }

  mayAssign(): boolean {
    return this.#core.settled().board.best() !== undefined;
  }

  advance(now: number, random: Random): Effect[] {
    check.checkFunction("advance", "random", random);
    const effects: Effect[] = [];
    this.#core.settledAt(now).timers.run({ now, random, effects });
    return effects;
  }

  why(id: StepId, now: number, place?: number): WhyNotRunning {
    return why(this.#core.settledAt(now), id, place);
  }

  step(id: StepId): views.StepView | undefined {
    return snapshot.stepView(this.#core.settled(), id);
  }

  row(id: StepId): views.StepRow | undefined {
    return picture.stepRow(this.#core.settled(), id);
  }

  *rows(): IterableIterator<views.StepRow> {
    for (const step of this.#core.graph.steps.values()) yield picture.rowOf(this.#core.settled(), step);
  }

  inputs(id: StepId): StepId[] {
    return picture.inputIds(this.#core.settled(), id);
  }

  dependents(id: StepId): StepId[] {
    return picture.dependentIds(this.#core.settled(), id);
  }

  systems(): views.SystemView[] {
    return picture.systemViews(this.#core.settled());
  }

  build(id: BuildId): views.BuildView | undefined {
    return map(this.#core.builds.get(id), snapshot.buildView);
  }

  attempt(id: AttemptId): views.AttemptView | undefined {
    return map(this.#core.attempts.get(id), snapshot.attemptView);
  }

  machine(id: MachineId, now: number): views.MachineView | undefined {
    const core = this.#core.at(now);
    return map(core.pool.machines.get(id), (machine) => snapshot.machineView(core, machine));
  }

  jobset(id: JobsetId): views.JobsetView | undefined {
    return map(this.#core.shares.get(id), snapshot.jobsetView);
  }

  builds(): views.BuildView[] {
    return [...this.#core.builds.values()].map(snapshot.buildView);
  }

  buildIds(): BuildId[] {
    return [...this.#core.builds.keys()];
  }

  steps(): views.StepView[] {
    return snapshot.stepViews(this.#core.settled());
  }

  attempts(): views.AttemptView[] {
    return [...this.#core.attempts.values()].map(snapshot.attemptView);
  }

  machines(now: number): views.MachineView[] {
    const core = this.#core.at(now);
    return [...core.pool.machines.values()].map((machine) => snapshot.machineView(core, machine));
  }

  heldMachines(now: number): views.MachineView[] {
    const core = this.#core.at(now);
    const held = [...core.pool.machines.values()].filter(({ breaker }) => breaker.held(now));
    return held
      .map((machine) => snapshot.machineView(core, machine))
      .filter((view) => view.disabledUntil > now);
  }

  jobsets(): views.JobsetView[] {
    return [...this.#core.shares.all()].map(snapshot.jobsetView);
  }

  queues(): views.QueueView[] {
    return snapshot.queueViews(this.#core.settled());
  }

  queueStats(): views.QueueStats[] {
    return snapshot.queueStats(this.#core.settled());
  }

  counters(): views.SchedulerCounters {
    return { ...this.#core.counters };
  }

  reasons(): views.ReasonCounts {
    return reasonCounts(this.#core.settled());
  }

  sizes(): views.SchedulerSizes {
    return snapshot.sizes(this.#core.settled());
  }

  #setDraining(id: MachineId, draining: boolean, now: number): void {
    const core = this.#core.at(now);
    const machine = core.pool.machines.get(id);
    if (machine === undefined) throw new SchedulerError("unknown-machine", `machine ${id} is not known`);
    machine.draining = draining;
    core.pool.refresh(machine, now);
  }

  #withAttempt(id: AttemptId, now: number, action: (core: Core, attempt: Attempt) => void): void {
    const core = this.#core.settledAt(now);
    const attempt = core.attempts.get(id);
    if (attempt !== undefined) action(core, attempt);
  }
}

function map<T, R>(value: T | undefined, view: (value: T) => R): R | undefined {
  return value === undefined ? undefined : view(value);
}
