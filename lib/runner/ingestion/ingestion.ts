/**
 * Brings unfinished builds into the scheduler.
 *
 * A survey finds out about the derivations below the builds, `plan.ts` decides without any I/O what becomes of each
 * build, and the scheduler gets everything in one synchronous step, so half a graph is never visible.
 */

import type { Mutex } from "../../async/index.js";
import type { Logger } from "../../log.js";
import type { StorePath } from "../../nix/path/store-path.js";
import { type BuildId, stepId } from "../../scheduler/ids.js";
import type { RunnerEdges } from "../outputs/edges.js";
import type { Destination } from "../outputs/uploads/cache-targets.js";
import type { Recorder } from "../recording/recorder.js";
import type { BuildRegistry, Departures } from "../state/build-registry.js";
import type { RunnerCounters } from "../state/counters.js";
import type { QueuedBuild } from "../state/queued-build.js";
import type { RunningScheduler } from "../state/running-scheduler.js";
import type { CachedBuilds } from "./cached-builds.js";
import type { GraphGrowth } from "./graph-growth.js";
import type { GraphSurveys } from "./graph-survey.js";
import type { BuildFate } from "./plan.js";

/** What ingestion works with. */
export interface IngestionOptions {
  readonly scheduler: RunningScheduler;
  readonly surveys: GraphSurveys;
  readonly growth: GraphGrowth;
  readonly uploads: Pick<RunnerEdges["uploads"], "destination">;
  readonly recorder: Recorder;
  readonly registry: BuildRegistry;
  readonly cached: CachedBuilds;
  readonly counters: RunnerCounters;
  /** Shared with everything that adds steps: one survey at a time. */
  readonly turns: Mutex;
  readonly logger: Logger;
}

type DecidedFate = Exclude<BuildFate, { kind: "queued" }>;

/** How builds are taken in. */
export interface IngestOptions {
  /** Those that have left since before the rows were read. */
  readonly left: Departures;
  /** Goes before waiting bulk work. Default: false. */
  readonly urgent?: boolean;
}

/** Takes builds in. */
export class Ingestion {
  readonly #scheduler: RunningScheduler;
  readonly #surveys: GraphSurveys;
  readonly #growth: GraphGrowth;
  readonly #uploads: IngestionOptions["uploads"];
  readonly #recorder: Recorder;
  readonly #registry: BuildRegistry;
  readonly #cached: CachedBuilds;
  readonly #counters: RunnerCounters;
  readonly #turns: Mutex;
  readonly #logger: Logger;

  constructor(options: IngestionOptions) {
    this.#scheduler = options.scheduler;
    this.#surveys = options.surveys;
    this.#growth = options.growth;
    this.#uploads = options.uploads;
    this.#recorder = options.recorder;
    this.#registry = options.registry;
    this.#cached = options.cached;
    this.#counters = options.counters;
    this.#turns = options.turns;
    this.#logger = options.logger;
  }

  /**
   * Takes builds in; left alone are those that the scheduler has already, that are being recorded right now, or that
   * have left since their rows were read. `urgent` goes before waiting bulk work. Returns the number of new steps.
   */
  ingest(builds: readonly QueuedBuild[], { left, urgent = false }: IngestOptions): Promise<number> {
    return this.#turns.run(() => this.#ingest(builds, left), { urgent });
  }

  /** Builds of these derivations are about to be taken in: what need not wait for their rows begins. */
  expect(drvs: readonly StorePath[]): void {
    this.#surveys.expect(drvs);
  }

  async #ingest(all: readonly QueuedBuild[], left: Departures): Promise<number> {
    const scheduler = this.#scheduler;
    const started = scheduler.now();
    const builds = all.filter(
      ({ id }) => !scheduler.view.hasBuild(id) && !this.#recorder.holds(id) && !left.has(id),
    );
    if (builds.length === 0) return 0;
    this.#counters.metrics.add("queueBuildLoads", builds.length);
    for (const build of builds) {
      scheduler.upsertJobset({
        id: build.jobset,
        project: build.project,
        name: build.jobsetName,
        shares: build.shares,
      });
    }
    // Those that want everything in the caches go first: then no step of theirs is known with outputs elsewhere only.
    let steps = 0;
    for (const destination of ["caches", "overflow"] as const) {
      const group = builds.filter((build) => this.#uploads.destination([jobsetName(build)]) === destination);
      if (group.length > 0) steps += await this.#ingestGroup(group, destination);
    }
    this.#counters.metrics.add("buildsRead", builds.length);
    this.#counters.metrics.add("buildReadMs", scheduler.now() - started);
    return steps;
  }

  /** Ingests builds whose outputs have the same destination; returns the number of new steps. */
  async #ingestGroup(builds: readonly QueuedBuild[], destination: Destination): Promise<number> {
    const accounts = new Map<StorePath, BuildId>();
    for (const { drv, id } of builds) if (!accounts.has(drv)) accounts.set(drv, id);
    const survey = await this.#surveys.survey(accounts, destination);
    const { plan, steps } = await survey.settle();
    // Nothing waits before the copies have started.
    this.#scheduler.addSteps(steps);
    this.#counters.metrics.add("queueStepsCreated", steps.length);
    const decided: { build: QueuedBuild; fate: DecidedFate }[] = [];
    for (const build of builds) {
      const fate = plan.fates.get(build.drv);
      if (fate === undefined || fate.kind === "queued") this.#enqueue(build);
      else decided.push({ build, fate });
    }
    this.#growth.startCopies(plan);
    // Steps that can run are dispatched while the database still takes the builds that are over.
    for (const { build, fate } of decided) await this.#finish(build, fate);
    return steps.length;
  }

  #enqueue(build: QueuedBuild): void {
    this.#registry.add(build);
    this.#scheduler.addBuild({
      id: build.id,
      jobset: build.jobset,
      step: stepId(build.drv),
      globalPriority: build.globalPriority,
      localPriority: build.localPriority,
      timestamp: build.timestamp,
      job: build.job,
      maxSilent: build.maxSilent,
      timeout: build.timeout,
    });
  }

  /** A build that nothing has to be built for. */
  async #finish(build: QueuedBuild, fate: DecidedFate): Promise<void> {
    this.#registry.add(build);
    try {
      await this.#record(build, fate);
    } catch (error) {
      // The next pass takes it in again, unless it is cancelled by then.
      this.#registry.remove(build.id);
      throw error;
    }
  }

  async #record(build: QueuedBuild, fate: DecidedFate): Promise<void> {
    switch (fate.kind) {
      case "cached":
        await this.#cached.finish(build, fate.facts);
        break;
      case "failedBefore":
        await this.#recorder.failedBefore(build.id, fate.step, fate.own);
        break;
      case "unreadable":
        this.#logger.error("build aborted: a derivation it needs cannot be read", {
          build: build.id,
          drv: fate.drv,
          reason: fate.reason,
        });
        await this.#recorder.aborted(build.id);
        break;
    }
  }
}

function jobsetName({ project, jobsetName: name }: QueuedBuild): string {
  return `${project}:${name}`;
}
