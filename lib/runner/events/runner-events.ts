/**
 * What happens in a runner, as plain data: the one source that log lines, live page and listeners are made from.
 *
 * Every event can be sent as JSON. Times are milliseconds since the epoch, durations are milliseconds, derivations and
 * outputs are base names of store paths. Identifiers of attempts are secrets of their builders and never in an event.
 */
import type { StorePath } from "../../nix/path/store-path.js";
import type { BuildResources, StepStatus } from "../../rpc/types.js";
import type { FailureStatus, MachineLossReason, ReleaseReason } from "../../scheduler/types.js";
import type { Problem } from "../../status/index.js";

/** A build machine. */
export interface EventMachine {
  /** The id that the machine chose for itself; new after each restart of an unmodified builder. */
  readonly id: string;
  readonly hostname: string;
}

/** A step, and the build that it is accounted to. */
export interface EventStep {
  readonly drv: StorePath;
  /** Name of the derivation without hash and `.drv`. */
  readonly name: string;
  /** `unknown` for a derivation that cannot be read. */
  readonly system: string;
  /** Id of the build that the step is accounted to; absent when no build wants the step any more. */
  readonly build?: number;
  /** Of that build, like the next two; absent when the build has left the queue. */
  readonly project?: string;
  readonly jobset?: string;
  readonly job?: string;
  /** Builds whose own derivation the step is, ascending. */
  readonly ownBuilds: readonly number[];
}

/** One try to run a step on a machine. */
export interface EventTry extends EventStep {
  readonly machine: EventMachine;
  /** Number of the try, from 1; tries from before a restart of the runner count. */
  readonly try: number;
}

/** How long the parts of a try took, as its builder reported; absent parts were not reported. */
export interface EventTimes {
  /** When the machine was chosen. */
  readonly startedAt: number;
  /** When the builder reported, or the runner gave up. */
  readonly stoppedAt: number;
  /** Fetching the inputs. */
  readonly importMs?: number;
  readonly buildMs?: number;
  /** Sending the outputs. */
  readonly uploadMs?: number;
}

/**
 * What a try used: what its builder measured, if it did, and the outputs as the runner checked them. Every number is
 * absent when it could not be measured.
 */
export interface StepResources extends Omit<BuildResources, "source"> {
  /** Absent when the builder measured nothing. */
  readonly source?: BuildResources["source"];
  /** All outputs together, as NARs; absent when there were none. */
  readonly outputBytes?: number;
}

/** How a step ended. */
export type StepOutcome =
  | { readonly kind: "succeeded" }
  /** `status`: of `buildsteps`; `builds`: how many builds failed with it. */
  | { readonly kind: "failed"; readonly status: FailureStatus; readonly builds: number }
  /** No build wanted it any more. `wantedAgain`: one does by now, so it is back in the queue. */
  | { readonly kind: "cancelled"; readonly wantedAgain: boolean };

/** An order was sent to a machine, or a build was adopted that the machine had not stopped. */
export interface StepStarted extends EventTry {
  readonly type: "stepStarted";
  readonly at: number;
  /** How long the step could have run before; 0 for one that was adopted. */
  readonly waitedMs: number;
  /** The machine was building it already when it joined. */
  readonly adopted: boolean;
}

/** The builder says what it does. */
export interface StepProgress extends EventTry {
  readonly type: "stepProgress";
  readonly at: number;
  readonly phase: StepStatus;
}

/** A step is over: nothing follows. Outputs may still be on their way to the caches, results to the database. */
export interface StepFinished extends EventStep {
  readonly type: "stepFinished";
  readonly at: number;
  readonly outcome: StepOutcome;
  /** Why it did not succeed. */
  readonly reason?: string;
  /** Tries that were made, this one included. */
  readonly tries: number;
  /** False when the last try never reached its machine, or there was none: then no `stepStarted` came before. */
  readonly started: boolean;
  /** Absent when it ended without being tried, as one that no machine supports. */
  readonly machine?: EventMachine;
  readonly times?: EventTimes;
  readonly resources?: StepResources;
  /** Of the builder's own span, when it traces: W3C `traceparent`. */
  readonly traceparent?: string;
}

/** A try is over without result; the step is tried again. */
export interface StepRetried extends EventTry {
  readonly type: "stepRetried";
  readonly at: number;
  readonly reason: string;
  /** It does not start again before. */
  readonly retryAt: number;
  /** False for a try that was called off by no fault of the step. */
  readonly counts: boolean;
  /** False when the order never reached the machine: then no `stepStarted` came before. */
  readonly started: boolean;
  readonly times: EventTimes;
  readonly resources?: StepResources;
  /** Of the builder's own span, when it traces: W3C `traceparent`. */
  readonly traceparent?: string;
}

/**
 * The end of a try is in the database, with the results of the builds that it decides. Where builds wait for the caches,
 * its outputs are there.
 */
export interface StepRecorded extends EventTry {
  readonly type: "stepRecorded";
  readonly at: number;
  /** Since the try was over; see `EventTimes.stoppedAt`. */
  readonly ms: number;
}

/** A build of the queue. */
export interface EventBuild {
  readonly build: number;
  readonly project: string;
  readonly jobset: string;
  readonly job: string;
  readonly drv: StorePath;
  /** When this runner took it into its queue. */
  readonly queuedAt: number;
}

/** The first step of a build has started. */
export interface BuildStarted extends EventBuild {
  readonly type: "buildStarted";
  readonly at: number;
}

/** The result of a build is in the database. */
export interface BuildFinished extends EventBuild {
  readonly type: "buildFinished";
  readonly at: number;
  /** `builds.buildstatus`; 0: succeeded. */
  readonly status: number;
  /** Of the build's own step; 0 when nothing had to be built. */
  readonly durationMs: number;
  /** It was built before, or for another build. */
  readonly cached: boolean;
  /** Hostname of the machine that built it. */
  readonly machine?: string;
}

/** A build left the queue without a result of this runner: it was cancelled, deleted or finished elsewhere. */
export interface BuildRemoved extends EventBuild {
  readonly type: "buildRemoved";
  readonly at: number;
}

/** A builder joined, or joined again. */
export interface MachineJoined {
  readonly type: "machineJoined";
  readonly at: number;
  readonly machine: EventMachine;
  readonly systems: readonly string[];
  readonly maxJobs: number;
  /** Builds that it had not stopped. */
  readonly running: number;
  /** Address of its connection, which may be a proxy's. */
  readonly peer?: string;
}

/** A machine is out of the pool. */
export interface MachineLeft {
  readonly type: "machineLeft";
  readonly at: number;
  readonly machine: EventMachine;
  /** `removed`: its connection ended; `disconnected`: and it did not come back in time; `heartbeat`: it went silent. */
  readonly reason: MachineLossReason;
  /** Address of the connection on which it joined. */
  readonly peer?: string;
}

/** A machine gets no work for a while. */
export interface MachineHeld {
  readonly type: "machineHeld";
  readonly at: number;
  readonly machine: EventMachine;
  readonly until: number;
  /** Of the last failure that counted. */
  readonly reason: string;
  /** Name of what is broken there. */
  readonly fault: string;
  /** Failures that count against it. */
  readonly failures: number;
  /** Step of the last failure that counted; absent when the machine itself was lost. */
  readonly drv?: string;
}

/** A machine that was held gets work again. */
export interface MachineReleased {
  readonly type: "machineReleased";
  readonly at: number;
  readonly machine: EventMachine;
  readonly because: ReleaseReason;
}

/** What a step left for stores. */
export interface EventUpload {
  /** What was asked for; their references go along. Empty for a log alone. */
  readonly paths: readonly StorePath[];
  /** Whose log goes along. */
  readonly drv?: StorePath;
}

/** A try to bring it into one store failed; another follows. */
export interface UploadRetried extends EventUpload {
  readonly type: "uploadRetried";
  readonly at: number;
  /** Name of the cache. */
  readonly store: string;
  /** Since the try began. */
  readonly ms: number;
  readonly reason: string;
}

/** It is in all its stores, or cannot be brought there: said once. */
export interface UploadFinished extends EventUpload {
  readonly type: "uploadFinished";
  readonly at: number;
  /** Since the first try began, pauses between tries included. */
  readonly ms: number;
  /** `failed`: some store will never have it. */
  readonly outcome: { readonly kind: "uploaded" } | { readonly kind: "failed"; readonly reason: string };
  readonly stores: readonly StoreUpload[];
}

/** How an upload went into one store. */
export interface StoreUpload {
  /** Name of the cache. */
  readonly store: string;
  /** Tries that were made. */
  readonly tries: number;
  /** The newest 20 of them, in order; the last one decided. */
  readonly lastTries: readonly UploadAttempt[];
}

/** One try to bring an upload into one store. */
export interface UploadAttempt {
  /** When it ended. */
  readonly at: number;
  readonly ms: number;
  readonly outcome: /** `written`: how many paths the cache lacked; `bytes`: of these as NARs, absent when they came from another cache. */
    | { readonly kind: "uploaded"; readonly written: number; readonly bytes?: number }
    | { readonly kind: "failed"; readonly reason: string };
}

/** Something stopped working, or works again. */
export interface ProblemChanged {
  readonly type: "problem";
  readonly at: number;
  readonly change: "began" | "ended";
  readonly problem: Problem;
}

/** All events by name. */
export interface RunnerEvents {
  readonly stepStarted: StepStarted;
  readonly stepProgress: StepProgress;
  readonly stepFinished: StepFinished;
  readonly stepRetried: StepRetried;
  readonly stepRecorded: StepRecorded;
  readonly buildStarted: BuildStarted;
  readonly buildFinished: BuildFinished;
  readonly buildRemoved: BuildRemoved;
  readonly machineJoined: MachineJoined;
  readonly machineLeft: MachineLeft;
  readonly machineHeld: MachineHeld;
  readonly machineReleased: MachineReleased;
  readonly uploadRetried: UploadRetried;
  readonly uploadFinished: UploadFinished;
  readonly problem: ProblemChanged;
}

/** Name of an event. */
export type RunnerEventName = keyof RunnerEvents;

/** Any event; `type` tells which. */
export type RunnerEvent = RunnerEvents[RunnerEventName];
