/**
 * What the routes below `/api/` ask of the runner beyond the rest of `StatusSource`. Getters copy what is in memory and
 * do not block; what is asynchronous may ask the database or a disk.
 *
 * Times are milliseconds since the epoch, durations milliseconds, sizes bytes; derivations are base names.
 */
import type { StepRow, SystemView } from "../../scheduler/index.js";
import type { StepExplanation } from "../types.js";
import type { ApiCost, ApiHistory, ApiLeader, ApiProblem, ApiTopic } from "./types.js";

/** A build of the queue by its names. */
export interface NamedBuild {
  readonly id: number;
  readonly project: string;
  readonly jobset: string;
  readonly job: string;
  readonly drv: string;
}

/** An attempt as the database has it. */
export interface AttemptRecord {
  readonly drv: string;
  readonly build: number;
  readonly job: string | undefined;
  /** From 1, over all builds; oldest first. */
  readonly try: number;
  readonly machine: string;
  readonly system: string | undefined;
  readonly startedAt: number;
  readonly stoppedAt: number | undefined;
  /** `buildsteps.status`; undefined while it runs. */
  readonly status: number | undefined;
  readonly error: string | undefined;
  /** What it cost, where that was asked for and measured. */
  readonly cost?: ApiCost | undefined;
}

/** Which attempts are asked for; the newest ones come first. */
export interface AttemptQuestion {
  /** Those that ran at some time from here … */
  readonly from: number;
  /** … to here. */
  readonly to: number;
  readonly build?: number | undefined;
  readonly machine?: string | undefined;
  readonly limit: number;
}

/** A row of `builds`, with its names, outputs and products. */
export interface BuildRecord extends NamedBuild {
  readonly system: string;
  readonly finished: boolean;
  /** `builds.buildstatus` */
  readonly status: number | undefined;
  readonly cached: boolean;
  readonly priority: number;
  readonly globalPriority: number;
  readonly queuedAt: number;
  readonly startedAt: number | undefined;
  readonly stoppedAt: number | undefined;
  /** By name, full paths. */
  readonly outputs: readonly { readonly name: string; readonly path: string | undefined }[];
  readonly products: readonly {
    readonly type: string;
    readonly subtype: string;
    readonly name: string;
    readonly path: string;
    readonly size: number | undefined;
  }[];
}

/** A step of a build that has ended: the last row of its derivation in it. */
export interface EndedStepRecord {
  readonly drv: string;
  readonly status: number;
  readonly machine: string;
  readonly startedAt: number | undefined;
  readonly stoppedAt: number | undefined;
  readonly error: string | undefined;
}

/** The log of one try. Reading ends early when the reader leaves. */
export interface LogRecord {
  /** When it was last written to. */
  readonly modifiedAt: number;
  readonly isNewest: boolean;
  /** Its bytes, decompressed; `end`: before this one. */
  read(part: { readonly start: number; readonly end?: number }): AsyncIterable<Uint8Array>;
  length(): Promise<number>;
  /** Its bytes, also those that are still to come while `isLive` says true. */
  follow(part: { readonly start: number; readonly isLive: () => boolean }): AsyncIterable<Uint8Array>;
}

/** Something that happened in the runner. `type` names it. */
export interface SourceEvent {
  readonly type: string;
}

/** What the database knows that the memory does not. Each may reject while the database is away. */
export interface ApiRecords {
  attempts(question: AttemptQuestion): Promise<readonly AttemptRecord[]>;
  /** Tries of a derivation in all builds, newest first. */
  tries(drv: string, limit: number): Promise<readonly AttemptRecord[]>;
  /** Undefined: there is no such build. */
  build(id: number): Promise<BuildRecord | undefined>;
  /** Steps of a build that have ended, those that failed first. */
  endedSteps(build: number, limit: number): Promise<readonly EndedStepRecord[]>;
  /** Outputs of the newest step of a derivation that succeeded, full paths. */
  outputs(drv: string): Promise<BuildRecord["outputs"]>;
  /** Builds whose derivation has that in its path, newest first. */
  findBuilds(text: string, limit: number): Promise<readonly NamedBuild[]>;
  /** How many tries each derivation had, what runs included; those without any are absent. */
  tryCounts(drvs: readonly string[]): Promise<ReadonlyMap<string, number>>;
  /** Why builds failed, as far as it was recorded. */
  errors(builds: readonly number[]): Promise<ReadonlyMap<number, string>>;
}

/** Jobs of the upload queue that are not done. */
export interface ApiUploadQueue {
  /** The first paths in queue order, with the time from which each waits. */
  paths(limit: number): readonly { readonly path: string; readonly since: number }[];
  /** From when on the oldest job waits; undefined: there is none. */
  oldestSince(): number | undefined;
  /** Jobs that wait after a failure are tried now; how many there were. */
  retry(): number;
}

/** See the head of this file. */
export interface ApiSource {
  /** What the configuration says about the page. Read at each use: a reload changes it. */
  settings(): { readonly farmName: string | undefined; readonly frontendUrl: string | undefined };
  /** In standby: the runner that leads. */
  leader(): ApiLeader | undefined;
  /** Which order the queue has; `own` is a rule of the embedder's. */
  stepOrder(): "Legacy" | "WithRdeps" | "WithCriticalPath" | "own";
  /** `expectedMs` of steps of which nothing is known. */
  readonly unknownMs: number;
  systems(): readonly SystemView[];
  /** All steps, each as it is when it is asked for. */
  rows(): Iterable<StepRow>;
  row(drv: string): StepRow | undefined;
  /** Why a step of the queue does not run; `place` is its place among its like, where that is known. */
  why(drv: string, place?: number): StepExplanation;
  inputs(drv: string): readonly string[];
  dependents(drv: string): readonly string[];
  queuedBuild(id: number): NamedBuild | undefined;
  queuedBuilds(): Iterable<NamedBuild>;
  /** Of the last `hours`, six at most. */
  history(hours: number): Promise<ApiHistory>;
  /** Problems that are over, the last one first. */
  endedProblems(): readonly ApiProblem[];
  readonly records: ApiRecords;
  readonly uploads: ApiUploadQueue;
  readonly logs: {
    /** Oldest first. */
    list(drv: string): Promise<readonly LogRecord[]>;
  };
  /** Calls `listener` with what happens, and the answers that it changes, until the returned function is called. */
  listen(listener: (event: SourceEvent, topics: readonly ApiTopic[]) => void): () => void;
}
