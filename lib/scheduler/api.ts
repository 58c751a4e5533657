/**
 * The scheduler as its callers see it.
 *
 * Everything is synchronous and deterministic: time (`now`) and randomness (`random`, uniform in [0, 1)) come in as
 * arguments, decisions go out as values. `now` must never go backwards. A method that throws has changed nothing.
 */
import type { AttemptId, BuildId, JobsetId, MachineId, StepId } from "./ids.js";
import type { MachineInfo, MachineLoad } from "./machines/machine-types.js";
import type { SchedulerOptions, SchedulerOptionsInput } from "./options.js";
import type {
  Assignment,
  AttemptOutcome,
  BuildPriorities,
  Completion,
  Effect,
  FailedCompletion,
  FailureStatus,
  FinishedCompletion,
  JobsetUsage,
  NewBuild,
  NewJobset,
  NewStep,
  Replacement,
  StepInput,
  WhyNotRunning,
} from "./types.js";
import type {
  AttemptView,
  BuildView,
  JobsetView,
  MachineView,
  QueueStats,
  QueueView,
  ReasonCounts,
  SchedulerCounters,
  SchedulerSizes,
  StepView,
} from "./views.js";

export type Random = () => number;

export interface SchedulerApi {
  readonly options: SchedulerOptions;
  /** Takes effect at once, queued work included. */
  setOptions(change: SchedulerOptionsInput, now: number): void;

  /** New jobset, or new shares of a known one. */
  upsertJobset(jobset: NewJobset): void;
  /** Machine time used before this process began; replaces what an earlier call loaded. */
  loadJobsetUsage(id: JobsetId, usage: readonly JobsetUsage[], now: number): void;
  hasJobset(id: JobsetId): boolean;

  /**
   * Adds steps and the edges between them; known ids are skipped, inputs must be known or in the batch.
   * A step stays in memory while a build needs it, so add the builds in the same turn of the event loop and call
   * `dropUnneeded` when some of the steps turned out not to be wanted.
   */
  addSteps(batch: readonly NewStep[], now: number): void;
  /** Removes those of the given steps (and what only they needed) that no build and no step depends on. */
  dropUnneeded(ids: readonly StepId[], now: number): Effect[];
  addBuild(build: NewBuild, now: number): void;
  /** Cancelled, deleted or finished elsewhere. Unknown ids do nothing. */
  removeBuild(id: BuildId, now: number): Effect[];
  setBuildPriority(id: BuildId, priorities: BuildPriorities, now: number): void;

  /** True also for a derivation that was resolved to a step that is still unfinished. */
  hasStep(id: StepId): boolean;
  hasBuild(id: BuildId): boolean;
  /** The upload did not help: build the step after all. */
  ungate(id: StepId, now: number): void;
  /** Outputs turned out to be valid. Unknown ids give an empty completion. */
  finishStep(id: StepId, now: number): FinishedCompletion;
  /** Permanent failure without a report (previous failure, unreadable derivation). */
  failStep(id: StepId, status: FailureStatus, now: number, reason?: string): FailedCompletion;
  /**
   * The derivation `old` was resolved to `replacement` (new or known): dependents and builds move over, a running
   * attempt of `old` ends and frees its slot. Not a success: nothing becomes runnable but the replacement.
   */
  replaceStep(old: StepId, replacement: NewStep, now: number): Replacement;
  /** More inputs of a step that does not run. `producer`: the dynamic input that these continue is thereby settled. */
  addInputs(id: StepId, inputs: readonly StepInput[], now: number, producer?: StepId): void;
  setExpectedDuration(id: StepId, durationMs: number): void;

  /**
   * A machine joined. A known id is a rejoin: attempts listed in `running` are kept, others are lost.
   * Attempts the scheduler does not know are the caller's to adopt (`adoptAttempt`) or to abort.
   */
  addMachine(info: MachineInfo, now: number, random: Random, running?: readonly AttemptId[]): Effect[];
  /** A ping; also the heartbeat. Unknown ids do nothing. */
  updateMachine(id: MachineId, load: MachineLoad, now: number): void;
  /** The tunnel ended for good: each attempt is a lost one. */
  removeMachine(id: MachineId, now: number, random: Random): Effect[];
  /** The tunnel ended, the machine may come back until `until`; it gets no work and keeps its attempts. */
  disconnectMachine(id: MachineId, until: number, now: number): void;
  drainMachine(id: MachineId, now: number): void;
  resumeMachine(id: MachineId, now: number): void;
  hasMachine(id: MachineId): boolean;

  /** Hands out as much as fits (at most `limit`). Slots are reserved at once. */
  assign(now: number, newAttemptId: () => AttemptId, limit?: number): Assignment[];
  /** A machine that rejoined after a restart of the runner still runs this step. False: refused, abort it. */
  adoptAttempt(
    attempt: {
      readonly attempt: AttemptId;
      readonly step: StepId;
      readonly machine: MachineId;
      readonly startedAt: number;
    },
    now: number,
  ): Assignment | undefined;
  /**
   * The build message is on its way: from now on it has to be acknowledged in time. A machine that is lost before that
   * has tried nothing, so no try is used up.
   */
  sent(attempt: AttemptId, now: number): void;
  /** The builder has the build message. */
  acknowledged(attempt: AttemptId, now: number): void;
  /** The build ended and its slot is free; outputs are being uploaded. */
  buildEnded(attempt: AttemptId, now: number): void;
  /** `from`: the machine that reports; another than the attempt's makes the report stale. */
  complete(
    attempt: AttemptId,
    outcome: AttemptOutcome,
    now: number,
    random: Random,
    from?: MachineId,
  ): Completion;

  /** When `advance` has something to do next. */
  nextEventAt(): number | undefined;
  /** Everything that is due by `now`. Call `assign` afterwards. */
  advance(now: number, random: Random): Effect[];

  why(id: StepId, now: number): WhyNotRunning;
  step(id: StepId): StepView | undefined;
  build(id: BuildId): BuildView | undefined;
  attempt(id: AttemptId): AttemptView | undefined;
  machine(id: MachineId, now: number): MachineView | undefined;
  jobset(id: JobsetId): JobsetView | undefined;
  builds(): BuildView[];
  buildIds(): BuildId[];
  steps(): StepView[];
  attempts(): AttemptView[];
  machines(now: number): MachineView[];
  jobsets(): JobsetView[];
  /** Ready and running steps per system in dispatch order. Sorts, so for the status API only. */
  queues(): QueueView[];
  queueStats(): QueueStats[];
  counters(): SchedulerCounters;
  reasons(): ReasonCounts;
  sizes(): SchedulerSizes;
}
