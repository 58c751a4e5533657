/**
 * What goes into the scheduler and what comes out of it, as plain data.
 *
 * Times are milliseconds since the epoch, durations are milliseconds, unless a name says otherwise.
 */
import type { AttemptId, BuildId, JobsetId, MachineId, StepId } from "./ids.js";
import type { MachineFault } from "./machines/machine-fault.js";
import type { MachineBlock } from "./machines/machine-types.js";
import type { PolicyNotice } from "./policies.js";

/** The results of `buildsteps.status` that end a step without another try. */
export const failureStatus = {
  failed: 1,
  /** The infrastructure failed, and no try is left. */
  aborted: 3,
  timedOut: 7,
  /** The step failed in an earlier build. */
  cachedFailure: 8,
  /** No machine has the system and the features. */
  unsupported: 9,
  logLimitExceeded: 10,
  narSizeLimitExceeded: 11,
  notDeterministic: 12,
} as const;

/** A value of {@link failureStatus}. */
export type FailureStatus = (typeof failureStatus)[keyof typeof failureStatus];

/** A jobset to add or change. */
export interface NewJobset {
  readonly id: JobsetId;
  readonly project: string;
  readonly name: string;
  /** `jobsets.schedulingshares`; 0 or less means: only when nothing else is left. */
  readonly shares: number;
}

/** One finished step of a jobset, for the 24 h window of machine time used. */
export interface JobsetUsage {
  readonly start: number;
  readonly duration: number;
}

/** An input of a step. */
export interface StepInput {
  /** A step that is known or in the same batch. Finished inputs are simply left out. */
  readonly id: StepId;
  /**
   * Output names still to be followed once the input is built (dynamic derivations); the *last* is the next
   * one to resolve. Absent or empty for ordinary inputs.
   */
  readonly chain?: readonly string[] | undefined;
}

/** A derivation to be built. */
export interface NewStep {
  readonly id: StepId;
  /** Platform of the derivation; `builtin` runs anywhere. */
  readonly system: string;
  readonly features: readonly string[];
  readonly preferLocal?: boolean | undefined;
  readonly inputs: readonly StepInput[];
  /** Derivation name without hash and `.drv`, for display. */
  readonly name: string;
  /** How long its like took before; weighs the critical path and is charged to the jobsets at the start. */
  readonly expectedDurationMs?: number | undefined;
  /** `upload`: outputs exist but are being uploaded; wait for `finishStep` (done) or `ungate` (build after all). */
  readonly gate?: "upload" | undefined;
  /** Tries already made before a restart of the runner. */
  readonly tries?: number | undefined;
  /** Earliest start, when a retry delay survived a restart. */
  readonly notBefore?: number | undefined;
}

/** A row of `builds` that is not finished. */
export interface NewBuild {
  readonly id: BuildId;
  readonly jobset: JobsetId;
  readonly step: StepId;
  readonly globalPriority: number;
  readonly localPriority: number;
  /** `builds.timestamp` in seconds; only carried along. */
  readonly timestamp: number;
  /** Job name; only carried along. */
  readonly job?: string | undefined;
  /** Seconds; absent = the configured default. */
  readonly maxSilent?: number | undefined;
  /** Seconds; absent = the configured default. */
  readonly timeout?: number | undefined;
}

/** Priorities of a build, the larger the sooner. Every order of steps looks at the global one first. */
export interface BuildPriorities {
  readonly globalPriority: number;
  readonly localPriority: number;
}

/** Limits of one attempt, in seconds (0 = none), as they are sent to the builder. */
export interface AttemptLimits {
  readonly maxSilent: number;
  readonly timeout: number;
}

/** One step assigned to one machine. The slot is reserved when this is returned. */
export interface Assignment {
  readonly attempt: AttemptId;
  readonly step: StepId;
  readonly machine: MachineId;
  /** The build the step is accounted to: its own build with the lowest id, else the lowest dependent build. */
  readonly build: BuildId;
  /** Builds whose top-level step this is, ascending. */
  readonly ownBuilds: readonly BuildId[];
  readonly limits: AttemptLimits;
  /** Tries made before this one. */
  readonly tries: number;
  readonly runnableSince: number;
}

/** A step that a machine was already running before the scheduler knew of it. */
export interface RunningAttempt {
  readonly attempt: AttemptId;
  readonly step: StepId;
  readonly machine: MachineId;
  readonly startedAt: number;
}

/**
 * What the end of a try says about its machine. `works`: a builder's script ran to its end there, however it ended, so
 * daemon, sandbox, inputs and disk did their part.
 */
export type Evidence =
  | { readonly says: "nothing" }
  | { readonly says: "works" }
  | { readonly says: "broken"; readonly fault: MachineFault };

/** How an attempt ended, as the caller reports it. */
export type AttemptOutcome =
  | { readonly kind: "succeeded" }
  /** Permanent; the status of `buildsteps` that the step gets. */
  | { readonly kind: "failed"; readonly status: FailureStatus; readonly reason?: string | undefined }
  /**
   * May be tried again; uses up a try. `exhausted`: the status of the step when no try is left, `failed` for a failure
   * of its own that may pass, `aborted` for trouble around it. What it proves about the machine is a separate question (`evidence`).
   */
  | {
      readonly kind: "retryable";
      readonly reason: string;
      readonly exhausted: typeof failureStatus.failed | typeof failureStatus.aborted;
      readonly evidence: Evidence;
    }
  /** Not the step's turn after all (an outage of ours): back to the queue after a delay, no try used up. */
  | { readonly kind: "postponed"; readonly reason: string; readonly delayMs: number }
  /** The abort that an effect asked for was sent (or the attempt never reached the machine). */
  | { readonly kind: "cancelled" };

/** A dependent whose input was built and whose output names a derivation that must now be read. */
export interface DynamicContinuation {
  readonly dependent: StepId;
  readonly producer: StepId;
  /** As in `StepInput.chain`; the last name is the output of `producer` that holds the derivation. */
  readonly chain: readonly string[];
}

/** The attempt a completion is about, as it was. Absent on a completion that had no attempt. */
export interface EndedAttempt {
  readonly attempt: AttemptId;
  readonly machine: MachineId;
  readonly build: BuildId;
  readonly startedAt: number;
}

/** The outputs of the step exist; it has left the scheduler. */
export interface FinishedCompletion {
  readonly kind: "finished";
  readonly step: StepId;
  readonly ended: EndedAttempt | undefined;
  /** Builds this step is the top-level of, ascending; they have left the scheduler. */
  readonly ownBuilds: readonly BuildId[];
  /** Steps that became runnable. */
  readonly released: readonly StepId[];
  /** Dependents that stay blocked until `addInputs(…, producer)` says what the output named. */
  readonly dynamic: readonly DynamicContinuation[];
  /** Attempts to abort: this step was finished from outside while it ran. */
  readonly effects: readonly Effect[];
}

/** A build that failed with a step. */
export interface FailedBuild {
  readonly id: BuildId;
  /** The failed step is the build's own derivation. */
  readonly own: boolean;
}

/** The step failed for good; it, all steps above it and their builds have left the scheduler. */
export interface FailedCompletion {
  readonly kind: "failed";
  readonly step: StepId;
  readonly ended: EndedAttempt | undefined;
  readonly status: FailureStatus;
  readonly reason: string | undefined;
  /** The accounted build; absent when no build needed the step any more. */
  readonly build: BuildId | undefined;
  /** All builds that depended on the step, ascending; they have left the scheduler. */
  readonly builds: readonly FailedBuild[];
  /** Tries made, this one included. */
  readonly tries: number;
  /** Attempts to abort: other steps that only the failed builds needed (see `abortOrphans`). */
  readonly effects: readonly Effect[];
}

/** The attempt failed or was postponed; the step will be tried again. */
export interface RetryCompletion {
  readonly kind: "retry";
  readonly step: StepId;
  readonly ended: EndedAttempt;
  /** Earliest time of the next try. */
  readonly at: number;
  readonly tries: number;
  /** False when no try was used up. */
  readonly counts: boolean;
  readonly reason: string;
}

/** The step had been cancelled, or no build needs it any more. */
export interface CancelledCompletion {
  readonly kind: "cancelled";
  readonly step: StepId;
  readonly ended: EndedAttempt;
  /** A build wants the step again; it is back in the queue. */
  readonly wantedAgain: boolean;
}

/** The attempt is not (or no longer) one of ours: tidy up the reporter's own row and nothing else. */
export interface StaleCompletion {
  readonly kind: "stale";
}

/** What the end of an attempt, or of a step without one, led to. */
export type Completion =
  | StaleCompletion
  | FinishedCompletion
  | FailedCompletion
  | RetryCompletion
  | CancelledCompletion;

/** Why a machine left the pool: removed by the caller, silent for too long, or not back in time. */
export type MachineLossReason = "removed" | "heartbeat" | "disconnected";

/** News that nothing has to be done about. */
export type SchedulerNotice = MachineNotice | PolicyNotice;

/** A machine was held or released, for the log: nothing has to be done. */
export type MachineNotice =
  /** It gets no work until `until`. */
  | {
      readonly kind: "held";
      readonly machine: MachineId;
      readonly hostname: string;
      readonly until: number;
      readonly fault: MachineFault;
      /** Of the last failure that counted. */
      readonly reason: string;
      /** Of the last failure that counted; undefined when the machine itself was lost. */
      readonly step: StepId | undefined;
      /** Failures that count against it. */
      readonly failures: number;
    }
  | {
      readonly kind: "released";
      readonly machine: MachineId;
      readonly hostname: string;
      readonly because: ReleaseReason;
    };

/**
 * - `trial`: the time is over; it gets one job at a time, of steps that have not failed before, until one works
 * - `over`: the time is over
 * - `worked`: something that was running there ended well
 * - `acquitted`: steps that counted against it failed elsewhere as well
 * - `needed`: no other machine in service can do what it does
 */
export type ReleaseReason = "trial" | "over" | "worked" | "acquitted" | "needed";

/** Something the runner has to do. The scheduler's own state already is as if it were done. */
export type Effect =
  /**
   * Send an abort. The slot stays reserved until `complete(attempt, {kind: "cancelled"})` (call it once the
   * abort is sent) or any other result, or until the cancel deadline has passed.
   */
  | {
      readonly kind: "abortAttempt";
      readonly attempt: AttemptId;
      readonly step: StepId;
      readonly machine: MachineId;
      readonly build: BuildId;
    }
  /**
   * An attempt ended without a report. `abort`: the machine is still there and should be told to stop.
   * Record `completion` as if it had been reported.
   */
  | {
      readonly kind: "attemptEnded";
      readonly cause: "machineLost" | "deadline" | "unacknowledged" | "cancelUnconfirmed";
      readonly attempt: AttemptId;
      readonly machine: MachineId;
      readonly abort: boolean;
      readonly completion: Completion;
    }
  /** The machine is out of the pool; its attempts follow as `attemptEnded`. Close its tunnel if it is open. */
  | { readonly kind: "machineLost"; readonly machine: MachineId; readonly reason: MachineLossReason }
  /** No machine could run the step for too long; record it with status `unsupported`. */
  | { readonly kind: "stepUnsupported"; readonly completion: FailedCompletion };

/** What `replaceStep` did. */
export interface Replacement {
  readonly from: StepId;
  readonly to: StepId;
  /** The attempt during which the step was resolved; its slot is free again. */
  readonly ended: EndedAttempt | undefined;
  /** Builds that now wait for the new step, ascending. */
  readonly ownBuilds: readonly BuildId[];
  /** The new step was not known before. */
  readonly created: boolean;
}

/** The scheduler's own answer to "why is it not running?". */
export type WhyNotRunning =
  /** Not in memory: finished, failed or never asked for; the database knows. */
  | { readonly code: "unknown" }
  | { readonly code: "resolved"; readonly to: StepId }
  | {
      readonly code: "running";
      readonly machine: MachineId;
      readonly hostname: string;
      readonly attempt: AttemptId;
      readonly since: number;
      readonly phase: AttemptPhase;
    }
  | { readonly code: "waitingForInputs"; readonly inputs: readonly StepId[]; readonly count: number }
  | { readonly code: "waitingForDynamicInputs"; readonly producers: readonly StepId[] }
  | { readonly code: "gated"; readonly gate: "upload" }
  | {
      readonly code: "retryLater";
      readonly at: number;
      readonly tries: number;
      readonly maxTries: number;
      readonly reason: string | undefined;
    }
  | {
      readonly code: "unsupported";
      readonly system: string;
      /** Some machine runs the system, but none has all features (or all those demand others). */
      readonly systemKnown: boolean;
      readonly features: readonly string[];
      /** Features that no machine of the system supports. */
      readonly missingFeatures: readonly string[];
      readonly since: number;
      readonly failsAt: number;
    }
  | {
      readonly code: "machinesBusy";
      readonly machines: readonly BlockedMachine[];
      readonly position: number;
    }
  | { readonly code: "nextInLine"; readonly position: number };

/** The codes under which steps in memory are counted; see `SchedulerViews.reasons`. */
export type ReasonCode = Exclude<WhyNotRunning["code"], "unknown" | "resolved">;

/** A machine that fits the step but does not take it now. */
export interface BlockedMachine {
  readonly machine: MachineId;
  readonly hostname: string;
  readonly block: MachineBlock;
}

/**
 * `sent`: assigned, not acknowledged. `building`: acknowledged. `uploading`: the build ended, the slot is free.
 * `cancelling`: an abort was asked for.
 */
export type AttemptPhase = "sent" | "building" | "uploading" | "cancelling";
