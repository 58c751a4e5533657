/** Settings of the scheduler with their defaults; all of them can be changed while it runs. */
import {
  type ArgumentRule,
  aFunction,
  anAmount,
  checkMembers,
  checkNoOthers,
  isObject,
  oneOf,
  optional,
} from "../argument-checks.js";
import type {
  MachineFreeName,
  MachineFreeRule,
  MachineOrder,
  MachineOrderName,
} from "./machines/machine-types.js";

import type { StepComparator } from "./queue/step-order.js";

/** See `queue/step-order.ts`. */
export type StepOrderName = "Legacy" | "WithRdeps" | "WithCriticalPath";

/** When a step that failed for reasons other than its derivation is tried again. */
export interface RetryOptions {
  /** Tries in all, the first included. @default 5 */
  readonly maxTries: number;
  /** Delay before the second try. @default 60_000 */
  readonly intervalMs: number;
  /** Factor from one delay to the next. @default 3 */
  readonly backoff: number;
  /** Upper bound of a random addition to each delay. @default 10_000 */
  readonly jitterMs: number;
  /** No delay is longer than this. @default 6 h */
  readonly maxDelayMs: number;
}

/** When a machine is put on hold. The only machine in service for what it does is held for lost connections alone. */
export interface BreakerOptions {
  /** Faults of the machine in a row, at steps that have not failed before, that put it on hold. @default 3 */
  readonly failures: number;
  /** First hold, and the longest one of the only machine in service for what it does. @default 60_000 */
  readonly holdMs: number;
  /** Factor from one hold to the next. @default 3 */
  readonly backoff: number;
  /** @default 1 h */
  readonly maxHoldMs: number;
  /** Upper bound of a random addition to each hold. @default 30_000 */
  readonly jitterMs: number;
}

/** How long the scheduler waits for each stage of an attempt, in milliseconds. */
export interface DeadlineOptions {
  /** An attempt must be acknowledged within this time after it was sent; 0 = no such deadline. @default 60_000 */
  readonly acknowledgeMs: number;
  /** Added to the step's own timeout: inputs have to be fetched, results to be imported. @default 30 min */
  readonly graceMs: number;
  /** From the end of the build to the final report; 0 = none. @default 2 h */
  readonly uploadMs: number;
  /** From an abort to its confirmation. @default 60_000 */
  readonly cancelMs: number;
  /** A machine that sends nothing for so long is lost; 0 = never. @default 60_000 */
  readonly heartbeatMs: number;
}

/** Bound of new jobs on a machine whose reported load lags behind. */
export interface BurstOptions {
  /** Jobs assigned within the window that still run; more are refused in the dynamic modes. @default 4 */
  readonly jobs: number;
  /** @default 30_000 */
  readonly windowMs: number;
}

/** All settings, complete. */
export interface SchedulerOptions {
  /** A name, or your own function. @default "WithRdeps" */
  readonly stepOrder: StepOrderName | StepComparator;
  /** A name, or your own function. @default "BogomipsWithSpeedFactor" */
  readonly machineOrder: MachineOrderName | MachineOrder;
  /** @default "Static" */
  readonly machineFree: MachineFreeName | MachineFreeRule;
  readonly retry: RetryOptions;
  readonly breaker: BreakerOptions;
  readonly deadlines: DeadlineOptions;
  readonly burst: BurstOptions;
  /** A runnable step that no machine can run fails after this time. @default 120_000 */
  readonly maxUnsupportedMs: number;
  /** Uploads after the end of a build, per machine; the machine takes no more work beyond. 0 = no bound. @default 0 */
  readonly maxConcurrentUploadsPerMachine: number;
  /** Seconds, for builds that say nothing. @default 3600 */
  readonly defaultMaxSilent: number;
  /** Seconds, for builds that say nothing. @default 36000 */
  readonly defaultTimeout: number;
  /** Expected duration of steps without history, milliseconds. @default 60_000 */
  readonly defaultDurationMs: number;
  /**
   * A running step that no build needs any more is aborted when its builds were cancelled; when they *failed* its
   * result is still worth having. `always` aborts in both cases. @default "onCancel"
   */
  readonly abortOrphans: "onCancel" | "always";
}

/** Every member may be left out; groups may be given in part. */
export type SchedulerOptionsInput = Partial<
  Omit<SchedulerOptions, "retry" | "breaker" | "deadlines" | "burst">
> & {
  readonly retry?: Partial<RetryOptions>;
  readonly breaker?: Partial<BreakerOptions>;
  readonly deadlines?: Partial<DeadlineOptions>;
  readonly burst?: Partial<BurstOptions>;
};

/** The rules that are used when none is named, or when an own one fails. */
export const namedDefaults = {
  stepOrder: "WithRdeps",
  machineOrder: "BogomipsWithSpeedFactor",
  machineFree: "Static",
} as const;

/** What a scheduler uses for settings that are not given. */
export const defaultOptions: SchedulerOptions = {
  ...namedDefaults,
  retry: { maxTries: 5, intervalMs: 60_000, backoff: 3, jitterMs: 10_000, maxDelayMs: 21_600_000 },
  breaker: { failures: 3, holdMs: 60_000, backoff: 3, maxHoldMs: 3_600_000, jitterMs: 30_000 },
  deadlines: {
    acknowledgeMs: 60_000,
    graceMs: 1_800_000,
    uploadMs: 7_200_000,
    cancelMs: 60_000,
    heartbeatMs: 60_000,
  },
  burst: { jobs: 4, windowMs: 30_000 },
  maxUnsupportedMs: 120_000,
  maxConcurrentUploadsPerMachine: 0,
  defaultMaxSilent: 3600,
  defaultTimeout: 36_000,
  defaultDurationMs: 60_000,
  abortOrphans: "onCancel",
};

const amounts = (group: object): ArgumentRule => ({
  words: `an object with numbers: ${Object.keys(group).join(", ")}`,
  accepts: (value) =>
    isObject(value) && Object.keys(group).every((name) => optional(anAmount).accepts(value[name])),
});

/** What the three rules may be: names, or own functions. */
export const policyRules = {
  stepOrder: optional(oneOf(["Legacy", "WithRdeps", "WithCriticalPath"], aFunction)),
  machineOrder: optional(
    oneOf(["SpeedFactorOnly", "CpuCoreCountWithSpeedFactor", "BogomipsWithSpeedFactor"], aFunction),
  ),
  machineFree: optional(oneOf(["Dynamic", "DynamicWithMaxJobLimit", "Static"], aFunction)),
};

const rules = {
  ...policyRules,
  retry: optional(amounts(defaultOptions.retry)),
  breaker: optional(amounts(defaultOptions.breaker)),
  deadlines: optional(amounts(defaultOptions.deadlines)),
  burst: optional(amounts(defaultOptions.burst)),
  maxUnsupportedMs: optional(anAmount),
  maxConcurrentUploadsPerMachine: optional(anAmount),
  defaultMaxSilent: optional(anAmount),
  defaultTimeout: optional(anAmount),
  defaultDurationMs: optional(anAmount),
  abortOrphans: optional(oneOf(["onCancel", "always"])),
} as const satisfies Record<keyof SchedulerOptions, ArgumentRule>;

/**
 * `base` with what `change` gives; groups are merged member by member.
 *
 * @throws UsageError that names an option which is wrong
 */
export function mergeOptions(base: SchedulerOptions, change: SchedulerOptionsInput): SchedulerOptions {
  checkMembers("Scheduler", base, rules);
  checkMembers("Scheduler", change, rules);
  checkNoOthers("Scheduler", change, rules);
  return {
    stepOrder: change.stepOrder ?? base.stepOrder,
    machineOrder: change.machineOrder ?? base.machineOrder,
    machineFree: change.machineFree ?? base.machineFree,
    retry: { ...base.retry, ...change.retry },
    breaker: { ...base.breaker, ...change.breaker },
    deadlines: { ...base.deadlines, ...change.deadlines },
    burst: { ...base.burst, ...change.burst },
    maxUnsupportedMs: change.maxUnsupportedMs ?? base.maxUnsupportedMs,
    maxConcurrentUploadsPerMachine:
      change.maxConcurrentUploadsPerMachine ?? base.maxConcurrentUploadsPerMachine,
    defaultMaxSilent: change.defaultMaxSilent ?? base.defaultMaxSilent,
    defaultTimeout: change.defaultTimeout ?? base.defaultTimeout,
    defaultDurationMs: change.defaultDurationMs ?? base.defaultDurationMs,
    abortOrphans: change.abortOrphans ?? base.abortOrphans,
  };
}
