/**
 * Keeps the scheduler in step with the rows of unfinished builds.
 *
 * A notification is only a hint that something changed. Each pass compares what the database lists with what the
 * scheduler holds, so the next pass finds what a lost notification would have announced.
 */

import { performance } from "node:perf_hooks";
import { pause, type TaskGroup, turn } from "../../async/index.js";
import type { BuildDigest, HydraDatabase, UnfinishedBuild } from "../../database/index.js";
import type { Listener } from "../../database/listener.js";
import { errorChain } from "../../errors.js";
import type { Logger } from "../../log.js";
import { printStorePath, type StoreDir } from "../../nix/path/store-path.js";
import { type BuildId, buildId } from "../../scheduler/ids.js";
import type { BuildEvents } from "../recording/build-events.js";
import type { Recorder } from "../recording/recorder.js";
import type { BuildRegistry, Departures } from "../state/build-registry.js";
import type { RunnerCounters } from "../state/counters.js";
import type { RunningScheduler } from "../state/running-scheduler.js";
import { BatchSize } from "./batch-size.js";
import type { Ingestion } from "./ingestion.js";
import { KnownJobsets } from "./known-jobsets.js";
import { type BadRow, QueueRows } from "./queue-rows.js";

/** What the monitor compares, and whom it informs. */
export interface QueueMonitorOptions {
  readonly scheduler: RunningScheduler;
  readonly database: Pick<
    HydraDatabase,
    "unfinishedBuilds" | "unfinishedBuildDigest" | "jobsets" | "jobsetUsage"
  >;
  readonly listener: Pick<Listener, "onChange" | "onResync">;
  readonly ingestion: Ingestion;
  readonly recorder: Recorder;
  readonly registry: BuildRegistry;
  readonly buildEvents: BuildEvents;
  readonly storeDir: StoreDir;
  readonly counters: RunnerCounters;
  readonly tasks: TaskGroup;
  readonly logger: Logger;
  /** Milliseconds after which a pass without a notification happens; undefined = only the slow safety pass. */
  readonly intervalMs: () => number | undefined;
  /** A pass stops taking builds in after this time and goes on in the next one; undefined = never. */
  readonly stopAfterMs: () => number | undefined;
  /** Builds ingested together at most, between two looks at the clock and at urgent requests. At least 1. */
  readonly buildsAtOnce: () => number;
}

/** Rows compared with memory in one turn of the event loop. */
const comparedAtOnce = 500;
/** New builds whose derivations are read while their rows are. */
const fewBuilds = 8;
/** Even without any notification the database is compared with memory this often. */
const safetyIntervalMs = 300_000;
const firstRetryMs = 1_000;
const longestRetryMs = 64_000;

/** Watches the rows of unfinished builds. */
export class QueueMonitor {
  readonly #scheduler: RunningScheduler;
  readonly #database: QueueMonitorOptions["database"];
  readonly #listener: QueueMonitorOptions["listener"];
  readonly #ingestion: Ingestion;
  readonly #recorder: Recorder;
  readonly #registry: BuildRegistry;
  readonly #buildEvents: BuildEvents;
  readonly #storeDir: StoreDir;
  readonly #counters: RunnerCounters;
  readonly #tasks: TaskGroup;
  readonly #logger: Logger;
  readonly #intervalMs: () => number | undefined;
  readonly #stopAfterMs: () => number | undefined;
  readonly #buildsAtOnce: () => number;
  readonly #abort = new AbortController();
  readonly #jobsets: KnownJobsets;
  readonly #rows: QueueRows;
  #loop: Promise<void> | undefined;
  #wake: (() => void) | undefined;
  #pending = true;
  #sharesChanged = false;
  #loaded = false;
  #problem: string | undefined;

  constructor(options: QueueMonitorOptions) {
    this.#scheduler = options.scheduler;
    this.#database = options.database;
    this.#listener = options.listener;
    this.#ingestion = options.ingestion;
    this.#recorder = options.recorder;
    this.#registry = options.registry;
    this.#buildEvents = options.buildEvents;
    this.#storeDir = options.storeDir;
    this.#counters = options.counters;
    this.#tasks = options.tasks;
    this.#logger = options.logger;
    this.#intervalMs = options.intervalMs;
    this.#stopAfterMs = options.stopAfterMs;
    this.#buildsAtOnce = options.buildsAtOnce;
    this.#jobsets = new KnownJobsets(options.scheduler, options.database);
    this.#rows = new QueueRows(options.storeDir, options.logger, () => options.scheduler.now());
  }

  /** Rows that cannot be used and why; shown by the status API, retried at each pass. */
  get badRows(): readonly BadRow[] {
    return this.#rows.bad;
  }

  /** The queue has been read at least once. */
  get loaded(): boolean {
    return this.#loaded;
  }

  /** Why the last pass failed; undefined when it did not. */
  get problem(): string | undefined {
    return this.#problem;
  }

  start(): void {
    this.#listener.onChange((channels) => {
      this.#counters.metrics.add("queueWakeups", channels.size);
      if (channels.has("jobset_shares_changed")) this.#sharesChanged = true;
      this.trigger();
    });
    this.#listener.onResync(() => {
      this.#sharesChanged = true;
      this.trigger();
    });
    this.#recorder.onReleased((builds) => this.#tasks.start(() => this.#recheckReleased(builds)));
    this.#loop = this.#run();
  }

  trigger(): void {
    this.#pending = true;
    this.#wake?.();
  }

  async close(): Promise<void> {
    this.#abort.abort();
    this.#wake?.();
    await this.#loop;
  }

  /** Ingests one build now, also in the middle of a pass. Unknown and finished ids do nothing. */
  ingestNow(id: BuildId): Promise<void> {
    return this.#ingestNow([id]);
  }

  /** Builds that a pass left alone because they were being recorded: one may have been restarted since. */
  async #recheckReleased(ids: readonly BuildId[]): Promise<void> {
    if (this.#abort.signal.aborted) return;
    try {
      await this.#ingestNow(ids);
    } catch (error) {
      this.#logger.debug("released builds cannot be checked again now; the next queue pass will do it", {
        builds: ids.length,
        error,
      });
      this.trigger();
    }
  }

  async #ingestNow(ids: readonly BuildId[]): Promise<void> {
    using left = this.#registry.departures();
    const { builds } = await this.#database.unfinishedBuilds({ ids });
    const unfinished = new Set<number>(builds.map(({ id }) => id));
    for (const id of ids) if (!unfinished.has(id) && !this.#scheduler.view.hasBuild(id)) this.#forget(id);
    if (builds.length === 0) return;
    await this.#jobsets.loadUsage(builds);
    await this.#take(builds, left, { urgent: true });
  }

  /** Returns the number of new steps. */
  async #take(
    rows: readonly UnfinishedBuild[],
    left: Departures,
    options?: { readonly urgent: boolean },
  ): Promise<number> {
    const builds = this.#rows.usable(rows);
    const steps = await this.#ingestion.ingest(builds, { left, ...options });
    // One that has left may have been restarted since.
    if (builds.some(({ id }) => left.has(id))) this.trigger();
    return steps;
  }

  /** A build that is not in the queue any more, unless its result is just being recorded. */
  #forget(id: BuildId): void {
    if (this.#recorder.holds(id) || this.#registry.get(id) === undefined) return;
    // One whose step succeeded while its row could not be written is in the registry only.
    if (this.#scheduler.view.hasBuild(id)) this.#scheduler.removeBuild(id);
    this.#buildEvents.removed(id);
    this.#registry.remove(id);
  }

  /** Until the next pass is due. */
  async #wait(): Promise<void> {
    const started = performance.now();
    await this.#sleep(this.#intervalMs() ?? safetyIntervalMs);
    this.#counters.metrics.add("monitorWaitingUs", (performance.now() - started) * 1000);
  }

  async #run(): Promise<void> {
    let failures = 0;
    while (!this.#abort.signal.aborted) {
      if (!this.#pending) await this.#wait();
      if (this.#abort.signal.aborted) return;
      this.#pending = false;
      try {
        const started = performance.now();
        const early = await this.#pass();
        this.#counters.metrics.add("monitorRunningUs", (performance.now() - started) * 1000);
        failures = 0;
        this.#problem = undefined;
        if (!early) this.#loaded = true;
        if (early) this.#pending = true;
      } catch (error) {
        const delay = Math.min(firstRetryMs * 2 ** failures, longestRetryMs);
        failures++;
        this.#problem = errorChain(error);
        this.#logger.error("queue pass failed", { error, retryInMs: delay });
        await this.#sleep(delay);
        this.#pending = true;
      }
    }
  }

  /** One comparison of the database with memory; true when it stopped early. */
  async #pass(): Promise<boolean> {
    const started = this.#scheduler.now();
    this.#counters.metrics.add("queueChecksStarted");
    if (this.#sharesChanged) {
      this.#sharesChanged = false;
      await this.#jobsets.refreshShares();
    }
    // Taken before the query: a build that is taken in while it runs is not in its answer, and is not gone either.
    const before = this.#registry.ids();
    const digest = await this.#database.unfinishedBuildDigest();
    const missing = await this.#compare(digest, before);
    if (missing.length <= fewBuilds) this.#ingestion.expect(this.#rows.derivations(missing));
    const stopAfter = this.#stopAfterMs();
    const batch = new BatchSize();
    for (let from = 0, to = 0; from < missing.length; from = to) {
      to = Math.min(missing.length, from + batch.next(this.#buildsAtOnce()));
      if (this.#abort.signal.aborted) return false;
      if (stopAfter !== undefined && from > 0 && this.#scheduler.now() - started > stopAfter) {
        this.#counters.metrics.add("queueChecksEarlyExits");
        return true;
      }
      using left = this.#registry.departures();
      const { builds, bad } = await this.#database.unfinishedBuilds({
        ids: missing.slice(from, to).map(({ id }) => id),
      });
      for (const row of bad) this.#rows.report(row.id, row.reason);
      await this.#jobsets.loadUsage(builds);
      batch.took(to - from, await this.#take(builds, left));
    }
    this.#counters.metrics.add("queueChecksFinished");
    return false;
  }

  /**
   * Applies what changed for builds in memory; returns the rows that are not there yet, most urgent first. Looks at each
   * row when its turn comes: in a long queue other things happen in between.
   */
  async #compare(digest: readonly BuildDigest[], before: readonly BuildId[]): Promise<BuildDigest[]> {
    const scheduler = this.#scheduler;
    const listed = new Set<BuildId>();
    const missing: BuildDigest[] = [];
    for (const [index, row] of digest.entries()) {
      if (index % comparedAtOnce === comparedAtOnce - 1) await turn();
      const id = buildId(row.id);
      listed.add(id);
      const build = scheduler.view.build(id);
      if (build === undefined) {
        if (!this.#recorder.holds(id)) missing.push(row);
        continue;
      }
      const taken = this.#registry.get(id);
      if (taken !== undefined && row.drvPath !== printStorePath(this.#storeDir, taken.drv)) {
        // The evaluator repointed the build to another derivation: it is taken in again.
        scheduler.removeBuild(id);
        this.#registry.remove(id);
        missing.push(row);
      } else if (build.globalPriority !== row.globalPriority || build.localPriority !== row.priority) {
        scheduler.setBuildPriority(id, {
          globalPriority: row.globalPriority,
          localPriority: row.priority,
        });
      }
    }
    for (const [index, id] of before.entries()) {
      if (index % comparedAtOnce === comparedAtOnce - 1) await turn();
      if (!listed.has(id)) this.#forget(id);
    }
    this.#rows.forgetOthers(listed);
    return missing.sort(
      (a, b) => b.globalPriority - a.globalPriority || b.priority - a.priority || a.id - b.id,
    );
  }

  async #sleep(milliseconds: number): Promise<void> {
    if (this.#abort.signal.aborted) return;
    const wake = new AbortController();
    this.#wake = () => wake.abort();
    await pause(Math.min(milliseconds, safetyIntervalMs), { signal: wake.signal });
    this.#wake = undefined;
  }
}
