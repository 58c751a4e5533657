/**
 * The pure core: what to build next, and where.
 *
 * No I/O, no clock, no randomness, no timers; nothing outside this room is imported but brands and the root of the
 * errors. What lives here:
 *
 * - this folder: the scheduler and its interface, options, timers, what goes in and comes out;
 * - `queue/`: in which order runnable steps are served, and the data structures that keep that order;
 * - `steps/`: the graph of steps and builds, and the life of steps and attempts;
 * - `machines/`: which machine takes a step: the pool, capacity, scores, holds;
 * - `views/`: the state as plain data, for display: snapshots, and why a step does not run.
 *
 * This file lists what is public; everything else is internal to the room.
 */

/** What callers may do with a scheduler, by purpose. */
export type { SchedulerApi, SchedulerCommands, SchedulerQueries, SchedulerViews } from "./api.js";
/** Steps, builds and machines from plain values. */
export {
  type BuildDescription,
  type MachineDescription,
  newBuild,
  newMachine,
  newStep,
  type StepDescription,
} from "./describe.js";
/** What is thrown for calls that make no sense; see `code`. */
export { SchedulerError, type SchedulerErrorCode } from "./errors.js";
/** Branded ids and how to make them. */
export {
  type AttemptId,
  attemptId,
  type BuildId,
  buildId,
  type JobsetId,
  jobsetId,
  type MachineId,
  machineId,
  type StepId,
  stepId,
} from "./ids.js";
/** A fault of a machine, with its time. */
export type { SeenFault } from "./machines/circuit-breaker.js";
/** A machine in the pool, machines that offer the same, and what a step asks of them. */
export type { Machine, MachineClass, Requirements } from "./machines/machine.js";
/** What can be wrong with a machine. */
export type { MachineFault } from "./machines/machine-fault.js";
/** Free functions: whether a machine has capacity. */
export { dynamicFree, dynamicWithMaxJobLimit, staticFree } from "./machines/machine-free.js";
/** Machine orders: which of several free machines is best. */
export {
  bogomipsWithSpeedFactor,
  cpuCoreCountWithSpeedFactor,
  speedFactorOnly,
} from "./machines/machine-order.js";
/** The machines and which of them has capacity. */
export { MachinePool, type MachinePoolHooks, type MatchedQueue } from "./machines/machine-pool.js";
/** What is known of a machine, and why it takes no work. */
export type {
  MachineBlock,
  MachineFree,
  MachineFreeName,
  MachineFreeRule,
  MachineInfo,
  MachineLoad,
  MachineOrder,
  MachineOrderName,
  MachinePressure,
  MachineState,
  MachineThreshold,
} from "./machines/machine-types.js";
/** Settings and their defaults. */
export {
  type BreakerOptions,
  type BurstOptions,
  type DeadlineOptions,
  defaultOptions,
  mergeOptions,
  type RetryOptions,
  type SchedulerOptions,
  type SchedulerOptionsInput,
  type StepOrderName,
} from "./options.js";
/** Rules of an operator's own that failed. */
export type { PolicyName, PolicyNotice } from "./policies.js";
/** Machine time used per jobset. */
export { JobsetShares } from "./queue/jobset-shares.js";
/** Step orders: which of two runnable steps is served first. */
export {
  legacy,
  type OrderedJobset,
  type OrderedStep,
  type RankedStep,
  type StepComparator,
  type StepComparison,
  type StepOrder,
  stepOrder,
  withCriticalPath,
  withRdeps,
} from "./queue/step-order.js";
/** Randomness as an argument. */
export type { Random } from "./random.js";
/** When a failed step is tried again. */
export { RetryPolicy } from "./retry-policy.js";
/** The scheduler. */
export { Scheduler } from "./scheduler.js";
/** Timers in the time that is given to the scheduler; a `MachinePool` sets its own in them. */
export { type TimerContext, Timers } from "./timers.js";
/** What goes into the scheduler and what comes out of it. */
export type {
  Assignment,
  AttemptLimits,
  AttemptOutcome,
  AttemptPhase,
  BlockedMachine,
  BuildPriorities,
  CancelledCompletion,
  Completion,
  DynamicContinuation,
  Effect,
  EndedAttempt,
  Evidence,
  FailedBuild,
  FailedCompletion,
  FailureStatus,
  FinishedCompletion,
  JobsetUsage,
  MachineLossReason,
  MachineNotice,
  NewBuild,
  NewJobset,
  NewStep,
  ReasonCode,
  ReleaseReason,
  Replacement,
  RetryCompletion,
  RunningAttempt,
  SchedulerNotice,
  StaleCompletion,
  StepInput,
  WhyNotRunning,
} from "./types.js";
/** Numbers of a step that failed for good, by name. */
export { failureStatus } from "./types.js";
/** Copies of the state for display. */
export type {
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
  StepState,
  StepView,
  SystemView,
} from "./views/views.js";
