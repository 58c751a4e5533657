/** Read-only pictures of the scheduler's state, for the status API, metrics and tests. */
import type { AttemptId, BuildId, JobsetId, MachineId, StepId } from "../ids.js";
import type { MachineBlock, MachineInfo, MachineLoad } from "../machines/machine-types.js";
import type { AttemptPhase, ReasonCode } from "../types.js";

/** An unfinished build. */
export interface BuildView {
  readonly id: BuildId;
  /** Top-level step (the resolved one once a content-addressed derivation is resolved). */
  readonly step: StepId;
  readonly jobset: JobsetId;
  readonly job: string | undefined;
  readonly timestamp: number;
  readonly maxSilent: number | undefined;
  readonly timeout: number | undefined;
  readonly globalPriority: number;
  readonly localPriority: number;
}

/**
 * `blocked`: waits for inputs, dynamic inputs or a gate. `ready`: in a queue. `delayed`: until its retry time.
 * `running`: has an attempt.
 */
export type StepState = "blocked" | "ready" | "delayed" | "running";

/** A step, with the keys it inherits at present from builds and dependents. */
export interface StepView {
  readonly id: StepId;
  readonly name: string;
  readonly system: string;
  readonly features: readonly string[];
  readonly preferLocal: boolean;
  readonly state: StepState;
  /** Was runnable at some time; stays true. */
  readonly runnable: boolean;
  /** 0 when it was never runnable. */
  readonly runnableSince: number;
  readonly tries: number;
  /** Why the last try failed. */
  readonly lastReason: string | undefined;
  /** Earliest start while `delayed`. */
  readonly notBefore: number;
  readonly globalPriority: number;
  readonly localPriority: number;
  /** 2147483647 when no build needs it any more. */
  readonly lowestBuild: BuildId;
  readonly ownBuilds: readonly BuildId[];
  readonly jobsets: readonly JobsetId[];
  /** Lowest share used of its jobsets; 1e9 without any, Infinity for a jobset with 0 shares. */
  readonly lowestShareUsed: number;
  readonly dependencies: number;
  readonly dependents: number;
  /** Milliseconds of expected work on the longest chain above, itself included; 0 unless that order is active. */
  readonly criticalPath: number;
  readonly attempt: AttemptId | undefined;
  readonly machine: MachineId | undefined;
  readonly cancelling: boolean;
  /** Derivations that were resolved to this one. */
  readonly resolvedFrom: readonly StepId[];
}

/** A running attempt. Times are milliseconds since the epoch, as everywhere here. */
export interface AttemptView {
  readonly attempt: AttemptId;
  readonly step: StepId;
  readonly machine: MachineId;
  readonly build: BuildId;
  readonly startedAt: number;
  readonly phase: AttemptPhase;
}

/** A machine in the pool. Times are milliseconds since the epoch; 0 = never. */
export interface MachineView {
  readonly info: MachineInfo;
  readonly load: MachineLoad | undefined;
  /** Score without jobs, as the status API shows it. */
  readonly score: number;
  readonly jobs: number;
  readonly uploads: number;
  readonly attempts: readonly AttemptId[];
  readonly joinedAt: number;
  /** Since when it has had no attempt; 0 = busy. */
  readonly idleSince: number;
  /** 0 before the first. */
  readonly lastPing: number;
  /** 0 before the first. */
  readonly lastFailure: number;
  /** End of the present hold; 0 = none. */
  readonly disabledUntil: number;
  readonly consecutiveFailures: number;
  readonly stepsDone: number;
  readonly succeeded: number;
  readonly failed: number;
  readonly draining: boolean;
  /** After a hold: it gets one job at a time, of steps that have not failed before, until one works. */
  readonly onTrial: boolean;
  readonly recentJobs: number;
  readonly recentSince: number;
  /** Why it takes no work now; undefined when it has capacity. */
  readonly block: MachineBlock | undefined;
  /** Disk thresholds apart: what the job limit alone, and the load alone, would say. */
  readonly hasStaticCapacity: boolean;
  readonly hasDynamicCapacity: boolean;
}

/** A jobset and what it used. */
export interface JobsetView {
  readonly id: JobsetId;
  readonly project: string;
  readonly name: string;
  readonly shares: number;
  /** Seconds of machine time in the window, expected time of running steps included. */
  readonly seconds: number;
  readonly shareUsed: number;
  readonly unfinishedBuilds: number;
}

/** The steps of one system. */
export interface QueueView {
  readonly system: string;
  /** Ready and running steps, best first (running ones in front). */
  readonly steps: readonly StepView[];
}

/** Numbers of steps of one system. */
export interface QueueStats {
  readonly system: string;
  readonly running: number;
  readonly ready: number;
  readonly delayed: number;
  /** Sum over all attempts of the time from ready to assigned. */
  readonly waitedMs: number;
  /** Since when the step that has been ready longest is; 0 = none is ready. */
  readonly oldestReadySince: number;
}

/** Totals since the scheduler was made. */
export interface SchedulerCounters {
  readonly stepsAdded: number;
  readonly buildsAdded: number;
  readonly attemptsStarted: number;
  readonly stepsFinished: number;
  readonly stepsFailed: number;
  readonly buildsFinished: number;
  readonly buildsFailed: number;
  readonly buildsRemoved: number;
  readonly retries: number;
  /** Highest number of tries any step has used. */
  readonly maxTries: number;
  readonly cancelled: number;
  readonly postponed: number;
  readonly staleReports: number;
  readonly unsupportedFailed: number;
  readonly machinesLost: number;
  readonly deadlinesMissed: number;
  readonly holds: number;
}

/** Numbers of steps by the reason why they do not run (or `running`). Costs O(number of queues). */
export type ReasonCounts = Readonly<Record<ReasonCode, number>>;

/** A step in a list, with the reason why it does not run. Members that `StepView` has too mean the same. */
export interface StepRow
  extends Pick<
    StepView,
    | "id"
    | "name"
    | "system"
    | "features"
    | "preferLocal"
    | "runnable"
    | "runnableSince"
    | "tries"
    | "globalPriority"
    | "localPriority"
    | "lowestBuild"
    | "lowestShareUsed"
    | "dependencies"
    | "dependents"
    | "criticalPath"
    | "machine"
  > {
  readonly reason: ReasonCode;
  /** When it last entered a queue; 0 when it never did. */
  readonly readySince: number;
  /** Start of the attempt that runs. */
  readonly startedAt: number | undefined;
  /** How long its like took before, in milliseconds; the `defaultDurationMs` of the options when that is not known. */
  readonly expectedMs: number;
}

/** The queue of one system. */
export interface SystemView {
  readonly system: string;
  readonly reasons: ReasonCounts;
  /** The step that has been ready longest. */
  readonly oldest: StepId | undefined;
}

/** Sizes of every internal table; all but `jobsets` are 0 once everything is drained. */
export interface SchedulerSizes {
  readonly steps: number;
  readonly edges: number;
  readonly builds: number;
  readonly attempts: number;
  readonly aliases: number;
  readonly jobsetSets: number;
  readonly buckets: number;
  readonly queues: number;
  readonly queued: number;
  readonly timers: number;
  readonly machines: number;
  readonly machineClasses: number;
  readonly rememberedHosts: number;
  readonly usageEntries: number;
  readonly jobsets: number;
}
