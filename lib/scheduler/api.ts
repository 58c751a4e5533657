/**
 * The scheduler as its callers see it: commands that change it, queries that decisions are based on, and views for
 * display. A caller asks for the narrowest of the three that it needs.
 *
 * Everything is synchronous and deterministic: time (`now`, milliseconds since the epoch, never going backwards) and
 * randomness come in as arguments, decisions go out as values. A method that throws has changed nothing.
 */
import type { AttemptId, BuildId, JobsetId, MachineId, StepId } from "./ids.js";
import type { MachineInfo, MachineLoad } from "./machines/machine-types.js";
import type { SchedulerOptions, SchedulerOptionsInput } from "./options.js";
import type { Random } from "./random.js";
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
  RunningAttempt,
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
  StepRow,
  StepView,
  SystemView,
} from "./views/views.js";

/** Everything that changes the scheduler. Returned effects must be performed, returned completions recorded. */
export interface SchedulerCommands {
  /** Takes effect immediately, for queued work too. */
  setOptions(change: SchedulerOptionsInput, now: number): void;

  /** Adds a jobset, or changes the names and shares of a known one. */
  upsertJobset(jobset: NewJobset): void;
  /**
   * Machine time used before this process began; replaces what an earlier call loaded.
   *
   * @throws SchedulerError `unknown-jobset`
   */
  loadJobsetUsage(id: JobsetId, usage: readonly JobsetUsage[], now: number): void;

  /**
   * Adds steps and the edges between them; known ids are skipped, inputs must be known or in the batch.
   * A step stays in memory while a build needs it, so add the builds in the same turn of the event loop and call
   * `dropUnneeded` when some of the steps turned out not to be wanted.
   *
   * @throws SchedulerError `unknown-input`, `cycle`
   */
  addSteps(batch: readonly NewStep[], now: number): void;
  /**
   * Removes those of the given steps (and what only they needed) that no build and no step depends on. Unknown ids
   * are ignored. Running ones are aborted by the returned effects.
   */
  dropUnneeded(ids: readonly StepId[], now: number): Effect[];
  /** @throws SchedulerError `unknown-jobset`, `unknown-step`, `duplicate-build` */
  addBuild(build: NewBuild, now: number): void;
  /** Cancelled, deleted or finished elsewhere. Unknown ids are ignored. */
  removeBuild(id: BuildId, now: number): Effect[];
  /** @throws SchedulerError `unknown-build` */
  setBuildPriority(id: BuildId, priorities: BuildPriorities, now: number): void;

  /** The upload did not help: build the step after all. Unknown ids and steps without a gate are ignored. */
  ungate(id: StepId, now: number): void;
  /**
   * The outputs turned out to be valid. An unknown id gives an empty completion.
   *
   * @throws SchedulerError `step-busy` while the step has an attempt
   */
  finishStep(id: StepId, now: number): FinishedCompletion;
  /**
   * Permanent failure without a report (previous failure, unreadable derivation).
   *
   * @throws SchedulerError `unknown-step`, or `step-busy` while the step has an attempt
   */
  failStep(id: StepId, status: FailureStatus, now: number, reason?: string): FailedCompletion;
  /**
   * The derivation `old` was resolved to `replacement` (new or known): dependents and builds move over, a running
   * attempt of `old` ends and frees its slot. Not a success: nothing becomes runnable but the replacement.
   *
   * @throws SchedulerError `unknown-step`, `unknown-input`, `cycle`
   */
  replaceStep(old: StepId, replacement: NewStep, now: number): Replacement;
  /**
   * Adds inputs to a step that is not running. `producer` is the dynamic input whose output named them; it is settled
   * by this call.
   *
   * @throws SchedulerError `unknown-step`, `unknown-input`, `cycle`, `step-busy`
   */
  addInputs(id: StepId, inputs: readonly StepInput[], now: number, producer?: StepId): void;
  /** How long the step is expected to run, in milliseconds. Unknown ids are ignored. */
  setExpectedDuration(id: StepId, durationMs: number): void;

  /**
   * A machine joined. A known id is a rejoin: attempts listed in `running` are kept, others are lost. Attempts in
   * `running` that the scheduler does not know are left to the caller, to adopt (`adoptAttempt`) or to abort.
   */
  addMachine(info: MachineInfo, now: number, random: Random, running?: readonly AttemptId[]): Effect[];
  /** A ping; also the heartbeat. Unknown ids are ignored. */
  updateMachine(id: MachineId, load: MachineLoad, now: number): void;
  /** The machine left for good: each of its attempts is lost. Unknown ids are ignored. */
  removeMachine(id: MachineId, now: number, random: Random): Effect[];
  /** The connection broke; until `until` the machine may come back. It gets no work and keeps its attempts. */
  disconnectMachine(id: MachineId, until: number, now: number): void;
  /**
   * The machine gets no more work until `resumeMachine`; its attempts continue.
   *
   * @throws SchedulerError `unknown-machine`
   */
  drainMachine(id: MachineId, now: number): void;
  /** @throws SchedulerError `unknown-machine` */
  resumeMachine(id: MachineId, now: number): void;

  /**
   * Assigns ready steps to machines, best first, as long as any fits, but at most `limit` (default: no limit).
   * Slots are reserved before this returns.
   *
   * @throws SchedulerError `duplicate-attempt` when `newAttemptId` gives an id that is in use
   */
  assign(
    now: number,
    newAttemptId: (step: StepId, machine: MachineId) => AttemptId,
    limit?: number,
  ): Assignment[];
  /**
   * A machine that rejoined after a restart of the runner is still running this step. Undefined: the step cannot be
   * adopted (unknown, blocked, not wanted, or running elsewhere), so abort it.
   */
  adoptAttempt(attempt: RunningAttempt, now: number): Assignment | undefined;
  /**
   * The build message is on its way: from now on it has to be acknowledged in time. If the machine is lost before
   * this, the try does not count. Unknown attempts are ignored here and in the next two methods.
   */
  sent(attempt: AttemptId, now: number): void;
  /** The builder has received the build message. */
  acknowledged(attempt: AttemptId, now: number): void;
  /** The build ended and its slot is free; outputs are being uploaded. */
  buildEnded(attempt: AttemptId, now: number): void;
  /**
   * The attempt ended with `outcome`. Gives a `stale` completion when the attempt is unknown or has ended, or when
   * `from`, the machine that reports, is not the attempt's machine.
   */
  complete(
    attempt: AttemptId,
    outcome: AttemptOutcome,
    now: number,
    random: Random,
    from?: MachineId,
  ): Completion;
  /** Does everything that is due by `now`. Call `assign` afterwards. */
  advance(now: number, random: Random): Effect[];
}

/** What a caller has to know to decide what to do next. Each answer costs O(1), or what settling is due. */
export interface SchedulerQueries {
  /** The options in force. */
  readonly options: SchedulerOptions;
  /** Whether the jobset was added. */
  hasJobset(id: JobsetId): boolean;
  /** True also for a derivation that was resolved to a step that is still unfinished. */
  hasStep(id: StepId): boolean;
  /** Whether the build was added and is neither finished nor removed. */
  hasBuild(id: BuildId): boolean;
  /** Whether the machine has joined and is not lost; true while it is disconnected. */
  hasMachine(id: MachineId): boolean;
  /** When `advance` has something to do next; undefined: nothing is scheduled. */
  nextEventAt(): number | undefined;
  /** False when `assign` would find nothing: no step is ready whose machines may have capacity. */
  mayAssign(): boolean;
}

/** Copies of the state as plain data, for status, metrics and tests. Undefined: the id is unknown. */
export interface SchedulerViews {
  /** Why the step is not running; finding its position costs O(ready steps of the same kind), unless `place` says it. */
  why(id: StepId, now: number, place?: number): WhyNotRunning;
  /** One step; an id that was resolved gives the step it was resolved to. */
  step(id: StepId): StepView | undefined;
  /** One step, with the reason why it does not run. O(kinds of machines). */
  row(id: StepId): StepRow | undefined;
  /**
   * All steps, in the order in which they were added, each as it is when it is asked for. Steps may come and go meanwhile:
   * for lists that are made in slices.
   */
  rows(): IterableIterator<StepRow>;
  /** What a step waits for directly. */
  inputs(id: StepId): StepId[];
  /** What waits for a step directly. */
  dependents(id: StepId): StepId[];
  /** The queue by system. O(queues). */
  systems(): SystemView[];
  /** One unfinished build. */
  build(id: BuildId): BuildView | undefined;
  /** One attempt that has not ended. */
  attempt(id: AttemptId): AttemptView | undefined;
  /** One machine, judged as of `now`. */
  machine(id: MachineId, now: number): MachineView | undefined;
  /** One jobset with its use of machine time. */
  jobset(id: JobsetId): JobsetView | undefined;
  /** All unfinished builds. */
  builds(): BuildView[];
  /** Ids of all unfinished builds; cheaper than `builds`. */
  buildIds(): BuildId[];
  /** All steps. O(steps), so for the status API only. */
  steps(): StepView[];
  /** All attempts that have not ended. */
  attempts(): AttemptView[];
  /** All machines, judged as of `now`. */
  machines(now: number): MachineView[];
  /** The machines that are held because of faults, judged as of `now`. */
  heldMachines(now: number): MachineView[];
  /** All jobsets. */
  jobsets(): JobsetView[];
  /** Ready and running steps per system in dispatch order. Sorts all of them, so for the status API only. */
  queues(): QueueView[];
  /** Numbers of steps per system. O(queues). */
  queueStats(): QueueStats[];
  /** Totals since the scheduler was made. */
  counters(): SchedulerCounters;
  /** Number of steps per reason for not running. O(queues). */
  reasons(): ReasonCounts;
  /** How many things are held in memory, for metrics and tests. */
  sizes(): SchedulerSizes;
}

/** The whole scheduler; {@link Scheduler} is the implementation. */
export interface SchedulerApi extends SchedulerCommands, SchedulerQueries, SchedulerViews {}
