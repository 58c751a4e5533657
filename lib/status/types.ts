/**
 * What the status API needs to know of the runner: plain data, taken at the moment of the call, and a few actions.
 *
 * Getters must not block: they copy what is in memory. Times are milliseconds since the epoch unless a name says
 * otherwise, store paths are base names.
 */
import type { LogLevels } from "../log-levels.js";
import type { StoreDir } from "../nix/path/store-path.js";
import type {
  AttemptView,
  BuildView,
  JobsetView,
  MachineView,
  QueueStats,
  QueueView,
  ReasonCounts,
  StepView,
  WhyNotRunning,
} from "../scheduler/index.js";
import type { ApiSource } from "./api/source.js";

/** One pressure line of the kernel: averages in percent, `total` in microseconds. */
export interface PressureAverages {
  readonly avg10: number;
  readonly avg60: number;
  readonly avg300: number;
  readonly total: number;
}

/** Pressure of a machine as it was last sent; a member is absent when its kernel does not report it. */
export interface MachinePressures {
  readonly cpuSome?: PressureAverages | undefined;
  readonly memSome?: PressureAverages | undefined;
  readonly memFull?: PressureAverages | undefined;
  readonly ioSome?: PressureAverages | undefined;
  readonly ioFull?: PressureAverages | undefined;
  readonly irqFull?: PressureAverages | undefined;
}

/** Sums over the steps that ended on a machine since it joined, milliseconds. */
export interface StepTimes {
  readonly totalMs: number;
  readonly importMs: number;
  readonly buildMs: number;
  readonly uploadMs: number;
}

/** One connected builder: the scheduler's view and what only the session knows. */
export interface MachineReport {
  readonly view: MachineView;
  readonly totalMemoryBytes: number;
  readonly cgroups: boolean;
  readonly substituters: readonly string[];
  readonly useSubstitutes: boolean;
  readonly nixVersion: string;
  /** Address of the peer, when known. */
  readonly peer?: string | undefined;
  readonly load1: number;
  readonly load5: number;
  readonly load15: number;
  readonly memoryUsedBytes: number;
  /** Undefined until a ping carried it. */
  readonly pressure?: MachinePressures | undefined;
  readonly uploadingPaths: number;
  readonly downloadingPaths: number;
  readonly times: StepTimes;
  /** Steps in progress there (of the step, not the resolved derivation). */
  readonly jobs: readonly string[];
}

/** Traffic with one remote store since the start of the process. */
export interface RemoteStoreReport {
  /** Bucket name of an S3 store; the label of its metrics. */
  readonly name: string;
  readonly puts: number;
  readonly putBytes: number;
  readonly putMs: number;
  readonly gets: number;
  readonly getBytes: number;
  readonly getMs: number;
  readonly heads: number;
}

/** A build that ended a short while ago, for the web page. */
export interface RecentBuild {
  readonly id: number;
  readonly project: string;
  readonly jobset: string;
  readonly job: string;
  readonly drvPath: string;
  /** `builds.buildstatus`: 0 succeeded, others failed. */
  readonly status: number;
  readonly finishedAt: number;
  /** Milliseconds of the build's own step; 0 when it was cached. */
  readonly durationMs: number;
  readonly machine?: string | undefined;
  readonly cached: boolean;
}

/** A row of the queue that could not be read and is left out. */
export interface SkippedBuild {
  readonly id: number;
  readonly reason: string;
  readonly since: number;
}

/**
 * `active`: owns the database and dispatches. `standby`: waits for another runner's lock. `draining`: starts no
 * new steps. `starting`/`stopping`: no queue in memory.
 */
export type RunnerState = "starting" | "standby" | "active" | "draining" | "stopping";

/** Parts of the runner and its surroundings that can have problems. */
export type ProblemPart = "database" | "uploads" | "disk" | "store" | "machines" | "queue";

/** Something that does not work at present. */
export interface Problem {
  readonly part: ProblemPart;
  /** Stable name of the kind of problem; `docs/operations.md` says what each means. */
  readonly code: string;
  /** What of several has it (a cache, a folder, a machine); empty where there is only one. */
  readonly subject: string;
  /** The cause, as far as it is known. */
  readonly reason: string;
  /** What to do about it. */
  readonly advice: string;
  /** When it was noticed. */
  readonly since: number;
}

/** State of the runner and what does not work, for `/health` and `/ready`. */
export interface HealthReport {
  readonly state: RunnerState;
  /** Oldest first. */
  readonly problems: readonly Problem[];
  /** The queue has been read at least once. */
  readonly queueLoaded: boolean;
  /** False: results of builds have to wait, because the database does not take them. */
  readonly canRecord: boolean;
}

/** The scheduler's answer, or what the database knows of a step that has left it. */
export type StepExplanation =
  | Exclude<WhyNotRunning, { readonly code: "unknown" }>
  | { readonly code: "finished"; readonly status: number; readonly at?: number | undefined }
  | { readonly code: "unknown" };

/** Body of `PUT /build`. */
export interface NewBuildRequest {
  /** Base name of a `.drv` in the runner's store. */
  readonly drv: string;
  readonly jobsetId: number;
}

/** Why a request was refused; `StatusRouter` turns the code into a status number. */
export type StatusErrorCode = "bad-request" | "not-found" | "conflict" | "unavailable" | "internal";

/** Everything `StatusRouter` asks for. The runner implements it. */
export interface StatusSource {
  /** When the process began its work. */
  readonly startedAt: number;
  /** Store folder as paths in requests name it. */
  readonly storeDir: StoreDir;

  /** What the routes below `/api/` ask for; without it they answer 503. */
  readonly api?: ApiSource | undefined;
  /** Levels of the log, when they may be shown and changed. */
  readonly logLevels?: LogLevels;

  health(): HealthReport;
  machines(): readonly MachineReport[];
  jobsets(): readonly JobsetView[];
  /** Unfinished builds, those of the highest priority first when `limit` cuts the list. */
  builds(limit?: number): readonly BuildView[];
  steps(): readonly StepView[];
  /** One per system that ever had a step or a machine, also when empty; `limit` bounds the steps of each. */
  queues(limit?: number): readonly QueueView[];
  queueStats(): readonly QueueStats[];
  attempts(): readonly AttemptView[];
  reasonCounts(): ReasonCounts;
  /** Sizes only; asked at each scrape, so it must be cheap. */
  counts(): {
    readonly builds: number;
    readonly jobsets: number;
    readonly steps: number;
    readonly runnable: number;
  };
  /** Paths of queued uploads in queue order, duplicates kept. */
  pendingUploads(): readonly string[];
  /** Queued upload messages, without listing their paths. */
  pendingUploadCount(): number;
  remoteStores(): readonly RemoteStoreReport[];
  /** Newest first. */
  recentBuilds(): readonly RecentBuild[];
  skippedBuilds(): readonly SkippedBuild[];

  /** The database has an unfinished build with this id. */
  isBuildActive(id: number): Promise<boolean>;
  /** Inserts a build and returns its id. Throws `StatusError` for a path or jobset that does not exist. */
  submitBuild(request: NewBuildRequest): Promise<number>;
  /** Loads one unfinished build and resolves when it is ingested; does nothing for an unknown or finished one. */
  buildOne(id: number): Promise<void>;
  /** Cancels a build. Throws `StatusError` `not-found`, or `conflict` when it has another result. */
  cancelBuild(id: number): Promise<void>;
  /** Moves a build to the front of the queue. Throws `StatusError` `not-found`, or `conflict` when it is finished. */
  bumpBuild(id: number): Promise<void>;
  /** `drv` is the base name of a derivation. */
  whyNotRunning(drv: string): Promise<StepExplanation>;
  /** `machine` is an id or a host name; the ids that were meant, empty when there is none. */
  drainMachine(machine: string): Promise<readonly string[]> | readonly string[];
  resumeMachine(machine: string): Promise<readonly string[]> | readonly string[];
}
