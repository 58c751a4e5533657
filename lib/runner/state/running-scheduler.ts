/**
 * The scheduler while it runs: the one place that holds the pure scheduler together with time and chance.
 *
 * Every change goes through here. Effects that a change asks for are performed as part of the call, so no caller gets
 * them and none can forget them; a change that may let a step start also requests the next dispatch round. The other
 * parts see the pure scheduler only through `view`, which changes nothing.
 */
import type { AttemptId, BuildId, JobsetId, MachineId, StepId } from "../../scheduler/ids.js";
import { Scheduler } from "../../scheduler/index.js";
import type { MachineInfo, MachineLoad } from "../../scheduler/machines/machine-types.js";
import type { SchedulerOptionsInput } from "../../scheduler/options.js";
import type {
  Assignment,
  AttemptOutcome,
  BuildPriorities,
  Completion,
  Effect,
  FailedCompletion,
  FinishedCompletion,
  JobsetUsage,
  NewBuild,
  NewJobset,
  NewStep,
  Replacement,
  SchedulerNotice,
  StepInput,
  WhyNotRunning,
} from "../../scheduler/types.js";
import type { MachineView } from "../../scheduler/views/views.js";

/** Time and chance, as the whole runner knows them. */
export interface Clock {
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

/** What may be asked of the scheduler at any time without changing it. */
export type SchedulerView = Pick<
  Scheduler,
  | "options"
  | "hasStep"
  | "hasBuild"
  | "hasMachine"
  | "step"
  | "row"
  | "rows"
  | "inputs"
  | "dependents"
  | "systems"
  | "build"
  | "attempt"
  | "jobset"
  | "builds"
  | "buildIds"
  | "steps"
  | "attempts"
  | "jobsets"
  | "queues"
  | "queueStats"
  | "counters"
  | "reasons"
  | "sizes"
  | "nextEventAt"
>;

/** A finished step whose effects are performed. */
export type SettledFinish = Omit<FinishedCompletion, "effects">;
/** A failed step whose effects are performed. */
export type SettledFailure = Omit<FailedCompletion, "effects">;
/** What followed from the end of an attempt; its effects are performed. */
export type SettledCompletion =
  | SettledFinish
  | SettledFailure
  | Exclude<Completion, FinishedCompletion | FailedCompletion>;

type EffectOf<Kind extends Effect["kind"]> = Extract<Effect, { readonly kind: Kind }>;

/** An effect of the scheduler; the effects inside its completion follow as effects of their own. */
export type RunnerEffect =
  | EffectOf<"abortAttempt" | "machineLost">
  | (Omit<EffectOf<"attemptEnded">, "completion"> & { readonly completion: SettledCompletion })
  | (Omit<EffectOf<"stepUnsupported">, "completion"> & { readonly completion: SettledFailure });

/** Performs what the scheduler asks for. */
export interface EffectPerformer {
  /** Called in the middle of a change; must not throw. */
  perform(effect: RunnerEffect): void;
}

/** Runs dispatch rounds. */
export interface DispatchRounds {
  /** A round follows soon; several requests before it make one round. */
  trigger(): void;
}

/** See the method of the same name in `SchedulerApi` for what each change means. */
export class RunningScheduler {
  readonly #scheduler: Scheduler;
  readonly #clock: Clock;
  #performer: EffectPerformer | undefined;
  #rounds: DispatchRounds | undefined;
  /** Effects from before `connect`. */
  readonly #unperformed: RunnerEffect[] = [];
  #roundRequested = false;

  /** `noticed` is called in the middle of a change: it must neither throw nor call back. Default: nothing. */
  constructor(options: SchedulerOptionsInput, clock: Clock, noticed?: (notice: SchedulerNotice) => void) {
    this.#scheduler = new Scheduler(options, noticed);
    this.#clock = clock;
  }

  /**
   * The parts that act for the scheduler; they are made from parts that use it, so they join last. Nothing that happened
   * before is lost.
   */
  connect(performer: EffectPerformer, rounds: DispatchRounds): void {
    this.#performer = performer;
    this.#rounds = rounds;
    for (const effect of this.#unperformed.splice(0)) performer.perform(effect);
    if (this.#roundRequested) rounds.trigger();
  }

  /** Milliseconds since the epoch. */
  now(): number {
    return this.#clock.now();
  }

  get view(): SchedulerView {
    return this.#scheduler;
  }

  why(id: StepId, place?: number): WhyNotRunning {
    return this.#scheduler.why(id, this.now(), place);
  }

  machine(id: MachineId): MachineView | undefined {
    return this.#scheduler.machine(id, this.now());
  }

  machines(): MachineView[] {
    return this.#scheduler.machines(this.now());
  }

  heldMachines(): MachineView[] {
    return this.#scheduler.heldMachines(this.now());
  }

  /** Something outside the scheduler changed that a dispatch round should look at. */
  requestRound(): void {
    if (this.#rounds === undefined) this.#roundRequested = true;
    else this.#rounds.trigger();
  }

  setOptions(change: SchedulerOptionsInput): void {
    this.#scheduler.setOptions(change, this.now());
    this.requestRound();
  }

  upsertJobset(jobset: NewJobset): void {
    this.#scheduler.upsertJobset(jobset);
    this.requestRound();
  }

  loadJobsetUsage(id: JobsetId, usage: readonly JobsetUsage[]): void {
    this.#scheduler.loadJobsetUsage(id, usage, this.now());
    this.requestRound();
  }

  addSteps(batch: readonly NewStep[]): void {
    this.#scheduler.addSteps(batch, this.now());
    this.requestRound();
  }

  addBuild(build: NewBuild): void {
    this.#scheduler.addBuild(build, this.now());
    this.requestRound();
  }

  removeBuild(id: BuildId): void {
    this.#changed(this.#scheduler.removeBuild(id, this.now()));
  }

  setBuildPriority(id: BuildId, priorities: BuildPriorities): void {
    this.#scheduler.setBuildPriority(id, priorities, this.now());
    this.requestRound();
  }

  ungate(id: StepId): void {
    this.#scheduler.ungate(id, this.now());
    this.requestRound();
  }

  finishStep(id: StepId): SettledFinish {
    const { effects, ...finish } = this.#scheduler.finishStep(id, this.now());
    this.#changed(effects);
    return finish;
  }

  replaceStep(old: StepId, replacement: NewStep): Replacement {
    const replaced = this.#scheduler.replaceStep(old, replacement, this.now());
    this.requestRound();
    return replaced;
  }

  addInputs(id: StepId, inputs: readonly StepInput[], producer?: StepId): void {
    this.#scheduler.addInputs(id, inputs, this.now(), producer);
    this.requestRound();
  }

  addMachine(info: MachineInfo, running: readonly AttemptId[]): void {
    this.#changed(this.#scheduler.addMachine(info, this.now(), this.#clock.random, running));
  }

  updateMachine(id: MachineId, load: MachineLoad): void {
    const before = this.#scheduler.nextEventAt();
    this.#scheduler.updateMachine(id, load, this.now());
    // Thousands of machines report all the time, and hardly ever does that let a step start.
    if (this.#scheduler.mayAssign() || this.#scheduler.nextEventAt() !== before) this.requestRound();
  }

  removeMachine(id: MachineId): void {
    this.#changed(this.#scheduler.removeMachine(id, this.now(), this.#clock.random));
  }

  /** The machine may come back within `graceMs` milliseconds. */
  disconnectMachine(id: MachineId, graceMs: number): void {
    const now = this.now();
    this.#scheduler.disconnectMachine(id, now + graceMs, now);
    this.requestRound();
  }

  drainMachine(id: MachineId): void {
    this.#scheduler.drainMachine(id, this.now());
    this.requestRound();
  }

  resumeMachine(id: MachineId): void {
    this.#scheduler.resumeMachine(id, this.now());
    this.requestRound();
  }

  /** Part of a dispatch round, so it requests none. */
  assign(newAttemptId: (step: StepId, machine: MachineId) => AttemptId): Assignment[] {
    return this.#scheduler.assign(this.now(), newAttemptId);
  }

  /** Part of a dispatch round, so it requests none. `ageMs`: how long the builder has been building the step. */
  adoptAttempt(running: {
    readonly attempt: AttemptId;
    readonly step: StepId;
    readonly machine: MachineId;
    readonly ageMs: number;
  }): Assignment | undefined {
    const { ageMs, ...attempt } = running;
    const now = this.now();
    return this.#scheduler.adoptAttempt({ ...attempt, startedAt: now - ageMs }, now);
  }

  /** News of a running attempt lets no other step start, so it requests no round. */
  sent(attempt: AttemptId): void {
    this.#scheduler.sent(attempt, this.now());
  }

  /** News of a running attempt lets no other step start, so it requests no round. */
  acknowledged(attempt: AttemptId): void {
    this.#scheduler.acknowledged(attempt, this.now());
  }

  buildEnded(attempt: AttemptId): void {
    this.#scheduler.buildEnded(attempt, this.now());
    this.requestRound();
  }

  complete(attempt: AttemptId, outcome: AttemptOutcome): SettledCompletion {
    const completion = this.#scheduler.complete(attempt, outcome, this.now(), this.#clock.random);
    this.#changed(effectsOf(completion));
    return settled(completion);
  }

  /** Lets everything happen that is due. The first part of a dispatch round, so it requests none. */
  advance(): void {
    this.#perform(this.#scheduler.advance(this.now(), this.#clock.random));
  }

  #changed(effects: readonly Effect[]): void {
    this.#perform(effects);
    this.requestRound();
  }

  #perform(effects: readonly Effect[]): void {
    for (const effect of effects) {
      if (effect.kind === "attemptEnded") {
        this.#performOne({ ...effect, completion: settled(effect.completion) });
        this.#perform(effectsOf(effect.completion));
      } else if (effect.kind === "stepUnsupported") {
        this.#performOne({ ...effect, completion: settled(effect.completion) });
        this.#perform(effect.completion.effects);
      } else this.#performOne(effect);
    }
  }

  #performOne(effect: RunnerEffect): void {
    if (this.#performer === undefined) this.#unperformed.push(effect);
    else this.#performer.perform(effect);
  }
}

function effectsOf(completion: Completion): readonly Effect[] {
  return "effects" in completion ? completion.effects : [];
}

function settled(completion: FailedCompletion): SettledFailure;
function settled(completion: Completion): SettledCompletion;
function settled(completion: Completion): SettledCompletion {
  if (!("effects" in completion)) return completion;
  const { effects: _, ...rest } = completion;
  return rest;
}
