/**
 * Answers of the routes below `/api/` and events of `/api/events`, as JSON has them. Types only: the live page, which runs
 * in a browser, imports them too.
 *
 * Times are milliseconds since the epoch, durations milliseconds, sizes bytes. Derivations are base names of store paths.
 * A member that is not known is `null` (it stays in the JSON). Sentences are complete and in English, without a full stop.
 */

/** Something that does not work, or did not, as `/health` has it. */
export interface ApiProblem {
  readonly part: string;
  readonly code: string;
  readonly subject: string;
  readonly reason: string;
  readonly advice: string;
  readonly since: number;
  /** Null: open. */
  readonly until: number | null;
}

/** Why a step waits. */
export type ApiReason =
  | "running"
  | "waitingForInputs"
  | "waitingForDynamicInputs"
  | "gated"
  | "retryLater"
  | "unsupported"
  | "machinesBusy"
  | "nextInLine";

/** Steps by reason; those of no step may be missing. */
export type ApiReasonCounts = { readonly [reason in ApiReason]?: number };

/** The runner that owns the database, as the database knows it. */
export interface ApiLeader {
  /** Its host, or the address that it has for the database. */
  readonly name: string;
  /** When it connected to the database. */
  readonly since: number;
}

/** State of the runner, part of `/api/overview` and of each `changed` event. */
export interface ApiState {
  readonly state: "starting" | "standby" | "active" | "draining" | "stopping";
  /** When the process began its work. */
  readonly startedAt: number;
  /** In standby: the runner that leads, as far as it is known. */
  readonly leader: ApiLeader | null;
}

/** One system's part of the queue. */
export interface ApiSystem {
  readonly system: string;
  readonly slotsUsed: number;
  readonly slots: number;
  readonly ready: number;
  readonly reasons: ApiReasonCounts;
  /** The runnable step that waits longest. */
  readonly oldest: {
    readonly drv: string;
    readonly name: string;
    readonly since: number;
    readonly why: string;
  } | null;
}

/** What happened in one interval of the history. */
export interface ApiHistoryPoint {
  /** Begin of the interval. */
  readonly at: number;
  readonly done: number;
  readonly failed: number;
  /** Mean time that steps waited for a machine before they started; null without any. */
  readonly waitMs: number | null;
  /** Slots in use and slots, at the end of the interval; null before the start of the process. */
  readonly slotsUsed: number | null;
  readonly slots: number | null;
}

/** `GET /api/history?hours=`. */
export interface ApiHistory {
  readonly intervalMs: number;
  /** Oldest first, without gaps. */
  readonly points: readonly ApiHistoryPoint[];
}

/** Phases of an attempt, in order. */
export type ApiPhase = string;

/** A step that runs now. */
export interface ApiRunningStep {
  readonly drv: string;
  /** Name of the derivation without hash and `.drv`. */
  readonly name: string;
  readonly system: string;
  readonly build: number | null;
  /** Number of the try, from 1; names its log. */
  readonly try: number;
  /** Machine's name, as in `/api/machines/{name}`. */
  readonly machine: string;
  readonly phase: ApiPhase;
  readonly startedAt: number;
  /** How long this took before; null when it was never built. */
  readonly usualMs: number | null;
}

/** A build that ended. */
export interface ApiResult {
  readonly build: number;
  readonly project: string;
  readonly jobset: string;
  readonly job: string;
  readonly drv: string;
  /** `builds.buildstatus`. */
  readonly status: number;
  readonly result: string;
  /** The first line of why it failed; null where it did not, or where it is not known. */
  readonly error: string | null;
  readonly machine: string | null;
  readonly cached: boolean;
  readonly durationMs: number;
  readonly finishedAt: number;
}

/** Short picture of the uploads. */
export interface ApiUploadSummary {
  readonly waiting: number;
  /** Null where nothing waits. */
  readonly oldestSince: number | null;
  readonly failingSince: number | null;
}

/** `GET /api/overview`. */
export interface ApiOverview extends ApiState {
  /** The runner's clock when it answered. */
  readonly now: number;
  readonly version: string;
  readonly farmName: string | null;
  /** Hydra's front-end, without a last slash. */
  readonly frontendUrl: string | null;
  readonly problems: readonly ApiProblem[];
  readonly counts: {
    readonly builds: number;
    readonly steps: number;
    readonly running: number;
    readonly ready: number;
    readonly waiting: number;
    readonly slotsUsed: number;
    readonly slots: number;
    readonly machines: number;
    readonly donePerHour: number;
    readonly failedPerHour: number;
  };
  readonly reasons: ApiReasonCounts;
  /** Estimate until the queue is empty; null where there is no rate yet. */
  readonly leftMs: number | null;
  readonly systems: readonly ApiSystem[];
  readonly history: ApiHistory;
  /** Longest over its usual time first; at most 25. */
  readonly runningNow: readonly ApiRunningStep[];
  /** Newest first, failures of the last minute before them; at most 25. */
  readonly results: readonly ApiResult[];
  readonly uploads: ApiUploadSummary;
  /** Rows of the queue that could not be read. */
  readonly skipped: readonly { readonly build: number; readonly reason: string; readonly since: number }[];
}

/** State of a machine by one word; `words` says it with the figure that decides. */
export type ApiMachineState =
  | "idle"
  | "building"
  | "full"
  | "held"
  | "draining"
  | "limited"
  | "silent"
  | "disconnected";

/** A row of `GET /api/machines`. */
export interface ApiMachine {
  readonly id: string;
  /** Host name; unique among those that are joined, else with the begin of the id. */
  readonly name: string;
  readonly state: ApiMachineState;
  /** Such as "held until 14:05: 3 connection losses". Without times of day where the reader's clock matters: see `until`. */
  readonly words: string;
  /** End of a hold. */
  readonly until: number | null;
  readonly systems: readonly string[];
  readonly features: readonly string[];
  readonly mandatoryFeatures: readonly string[];
  readonly jobs: number;
  readonly slots: number;
  readonly speedFactor: number;
  readonly cpuCount: number;
  readonly load1: number;
  /** Percent, averages over 10 s; null where the kernel does not report them. */
  readonly cpuPressure: number | null;
  readonly memoryPressure: number | null;
  readonly ioPressure: number | null;
  readonly memoryUsed: number;
  readonly memoryTotal: number;
  /** Percent. */
  readonly storeFree: number | null;
  readonly buildDirFree: number | null;
  readonly joinedAt: number;
  readonly lastPing: number;
  readonly idleSince: number | null;
  readonly done: number;
  readonly failed: number;
  readonly uploads: number;
}

/** `GET /api/machines`. */
export interface ApiMachines {
  readonly now: number;
  readonly machines: readonly ApiMachine[];
}

/** One attempt that ran or runs: a bar of the timeline. */
export interface ApiAttempt {
  readonly drv: string;
  readonly name: string;
  readonly build: number | null;
  readonly job: string | null;
  readonly try: number;
  readonly machine: string;
  readonly system: string | null;
  readonly startedAt: number;
  /** Null: runs. */
  readonly stoppedAt: number | null;
  /** `buildsteps.status`; null while it runs. */
  readonly status: number | null;
  readonly result: string;
}

/** `GET /api/machines/{name}`. */
export interface ApiMachineDetail extends ApiMachine {
  readonly now: number;
  readonly nixVersion: string;
  readonly peer: string | null;
  readonly load5: number;
  readonly load15: number;
  readonly running: readonly ApiRunningStep[];
  /** Newest first; at most 100. */
  readonly history: readonly ApiAttempt[];
  /** Limits that hold it back from new steps, with what they are compared with. */
  readonly limits: readonly {
    readonly what: string;
    readonly value: number | null;
    readonly limit: number;
  }[];
}

/** A row of the queue. */
export interface ApiQueueRow {
  readonly drv: string;
  readonly name: string;
  readonly system: string;
  readonly reason: ApiReason;
  readonly why: string;
  readonly build: number | null;
  readonly jobset: string | null;
  readonly job: string | null;
  readonly tries: number;
  /** When it became runnable; null where it never was. */
  readonly since: number | null;
  /** Number of builds and steps that wait for it. */
  readonly dependents: number;
}

/** `GET /api/queue?system=&jobset=&job=&name=&reason=&limit=&cursor=`. */
export interface ApiQueue {
  readonly now: number;
  /** As the scheduler would start them. */
  readonly rows: readonly ApiQueueRow[];
  /** Rows that match, also beyond `limit`. */
  readonly total: number;
  /** For the next part; null at the end. */
  readonly cursor: string | null;
  readonly systems: readonly {
    readonly system: string;
    readonly ready: number;
    readonly reasons: ApiReasonCounts;
  }[];
}

/** State of a step or build in the graph and in lists. */
export type ApiStepState =
  | "succeeded"
  | "cached"
  | "failed"
  | "running"
  | "ready"
  | "waiting"
  | "unsupported"
  | "cancelled"
  | "unknown";

/** One try of a step. */
export interface ApiTry {
  /** From 1. */
  readonly try: number;
  readonly machine: string | null;
  readonly startedAt: number | null;
  readonly stoppedAt: number | null;
  /** `buildsteps.status`; null while it runs. */
  readonly status: number | null;
  readonly result: string;
  readonly error: string | null;
  readonly hasLog: boolean;
  /** What it cost; null where it was not measured. */
  readonly cost: ApiCost | null;
}

/** What an attempt cost. A member that was not measured is null. */
export interface ApiCost {
  readonly cpuUserMs: number | null;
  readonly cpuSystemMs: number | null;
  readonly peakMemory: number | null;
  readonly readBytes: number | null;
  readonly writtenBytes: number | null;
  readonly outputBytes: number | null;
  /** `daemon`, `cgroup` or `samples`; the last one is an estimate. */
  readonly source: string;
}

/** A node of the dependency graph: one step, or several that were put together by state. */
export interface ApiGraphNode {
  /** `drv`, or for a group a text that is not one. */
  readonly id: string;
  readonly name: string;
  readonly state: ApiStepState;
  /** Steps in it; 1 for a step. */
  readonly count: number;
  readonly machine: string | null;
  readonly startedAt: number | null;
  readonly durationMs: number | null;
  /** On the longest chain of work that is left. */
  readonly critical: boolean;
}

/** Dependency graph below a build or step; `edges` lead from what needs to what is needed, as indices of `nodes`. */
export interface ApiGraph {
  readonly nodes: readonly ApiGraphNode[];
  readonly edges: readonly (readonly [number, number])[];
  /** Steps in all, also of those in groups. */
  readonly steps: number;
  /** Not everything is in it, as there is too much. */
  readonly truncated: boolean;
}

/** What holds a build or step up now. */
export interface ApiBlocker {
  readonly drv: string;
  readonly name: string;
  readonly state: ApiStepState;
  readonly why: string;
  readonly machine: string | null;
  readonly startedAt: number | null;
  readonly usualMs: number | null;
}

/** An output. */
export interface ApiOutput {
  readonly name: string;
  /** Store path; null while it is not known. */
  readonly path: string | null;
}

/** `GET /api/builds/{id}`. */
export interface ApiBuild {
  readonly now: number;
  readonly id: number;
  readonly project: string;
  readonly jobset: string;
  readonly job: string;
  readonly drv: string;
  readonly name: string;
  readonly system: string;
  readonly finished: boolean;
  readonly status: number | null;
  /** One sentence: what became of it, or what holds it up. */
  readonly words: string;
  readonly error: string | null;
  readonly priority: number;
  readonly globalPriority: number;
  readonly queuedAt: number;
  readonly startedAt: number | null;
  readonly stoppedAt: number | null;
  readonly usualMs: number | null;
  readonly steps: {
    readonly total: number;
    readonly done: number;
    readonly running: number;
    readonly failed: number;
  };
  /** Of its own step. */
  readonly tries: readonly ApiTry[];
  /** Steps below it that failed, with their tries: where its log is. */
  readonly failures: readonly { readonly drv: string; readonly name: string; readonly try: ApiTry }[];
  readonly blockedBy: readonly ApiBlocker[];
  readonly graph: ApiGraph;
  readonly outputs: readonly ApiOutput[];
  readonly products: readonly {
    readonly type: string;
    readonly subtype: string;
    readonly name: string;
    readonly path: string;
    readonly size: number | null;
  }[];
  /** Its page at the front-end. */
  readonly url: string | null;
  /** Share of its jobset, 0 to 1: what it should get and what it got. */
  readonly share: { readonly asked: number; readonly got: number } | null;
}

/** `GET /api/steps/{drv}`. */
export interface ApiStep {
  readonly now: number;
  readonly drv: string;
  readonly name: string;
  readonly system: string | null;
  readonly features: readonly string[];
  readonly state: ApiStepState;
  /** The scheduler's own sentence. */
  readonly words: string;
  readonly reason: ApiReason | null;
  /** Machines that could build it, and why each does not. */
  readonly machines: readonly { readonly machine: string; readonly why: string }[];
  readonly builds: readonly { readonly id: number; readonly job: string; readonly jobset: string }[];
  readonly tries: readonly ApiTry[];
  readonly usualMs: number | null;
  readonly startedAt: number | null;
  readonly blockedBy: readonly ApiBlocker[];
  readonly graph: ApiGraph;
  readonly outputs: readonly ApiOutput[];
}

/** `GET /api/timeline?from=&to=&build=`. */
export interface ApiTimeline {
  readonly now: number;
  readonly from: number;
  readonly to: number;
  /** Machines with their slots, also those without an attempt. */
  readonly machines: readonly { readonly name: string; readonly slots: number }[];
  /** By begin. */
  readonly attempts: readonly ApiAttempt[];
  /** More than the limit ran in that time; the oldest are left out. */
  readonly truncated: boolean;
}

/** `GET /api/jobsets`. */
export interface ApiJobsets {
  readonly now: number;
  readonly jobsets: readonly {
    readonly project: string;
    readonly name: string;
    readonly shares: number;
    /** Part of all shares, 0 to 1. */
    readonly asked: number;
    /** Part of the build time of the last 24 h, 0 to 1. */
    readonly got: number;
    /** Build time in the last 24 h. */
    readonly usedMs: number;
    readonly builds: number;
    readonly ready: number;
    readonly running: number;
    readonly oldestSince: number | null;
  }[];
}

/** `GET /api/uploads`. */
export interface ApiUploads extends ApiUploadSummary {
  readonly now: number;
  /** Those in progress first, then oldest first; at most 100. */
  readonly paths: readonly { readonly path: string; readonly since: number }[];
  readonly caches: readonly {
    readonly name: string;
    readonly puts: number;
    readonly putBytes: number;
    /** Over the last minute. */
    readonly bytesPerSecond: number | null;
    readonly failingSince: number | null;
    readonly error: string | null;
  }[];
}

/** `POST /api/uploads/retry`. */
export interface ApiRetriedUploads {
  /** Jobs that waited after a failure and are tried now. */
  readonly retried: number;
}

/** `GET /api/problems`: open ones first, then by end, newest first. */
export interface ApiProblems {
  readonly now: number;
  readonly problems: readonly ApiProblem[];
}

/** One hit of `GET /api/search?q=`; at most 20, best first. */
export interface ApiHit {
  readonly kind: "build" | "step" | "machine" | "jobset";
  /** Id of the build, base name of the derivation, name of the machine, `project:jobset`. */
  readonly id: string;
  readonly title: string;
  readonly detail: string;
}

/** `GET /api/search?q=`. */
export interface ApiSearch {
  readonly hits: readonly ApiHit[];
}

/** Parts of the answers that can change. */
export type ApiTopic =
  | "overview"
  | "machines"
  | "queue"
  | "builds"
  | "steps"
  | "uploads"
  | "problems"
  | "jobsets";

/** Data of the `changed` event of `GET /api/events`, at most one a second. */
export interface ApiChanged extends ApiState {
  readonly now: number;
  readonly topics: readonly ApiTopic[];
  readonly running: number;
  readonly ready: number;
  readonly steps: number;
  readonly problems: readonly ApiProblem[];
}

/** Body of an answer that is not a success. */
export interface ApiError {
  readonly error: string;
  readonly code: string;
}
