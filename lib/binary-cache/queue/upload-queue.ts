/**
 * Uploads in the background: whole closures with their logs, into one or several caches.
 *
 * Every job is in a journal on disk from before `enqueue` resolves until it is done, so a restart goes on where the
 * last process stopped. What a cache already has is skipped, so doing a job twice does no harm.
 */
import { aFunction, aLogger, aText, checkMembers, optional } from "../../argument-checks.js";
import { backoffDelay, retry } from "../../async/index.js";
import { type Logger, silentLogger } from "../../log.js";
import type { StorePath } from "../../nix/path/store-path.js";
import type { BinaryCache } from "../cache/binary-cache.js";
import { BinaryCacheError } from "../errors.js";
import { type JobJournal, type UploadJob, UploadJournal, type UploadRequest } from "./upload-journal.js";
import { type IntoCache, isHopeless, prepareUpload, type UploadSource, type Written } from "./upload-work.js";

export type { JobJournal, UploadJob, UploadRequest } from "./upload-journal.js";

/** One try to bring a job into one cache, as it ended. */
export interface UploadTry {
  readonly job: UploadJob;
  readonly cache: BinaryCache;
  /** Since the try began. */
  readonly ms: number;
  readonly outcome:
    | ({ readonly kind: "uploaded" } & Written)
    /** `retried`: another try follows. */
    | { readonly kind: "failed"; readonly error: unknown; readonly retried: boolean };
}

/** What a queue works with. */
export interface UploadQueueOptions extends UploadSource {
  /** Where the journal is; made when missing. */
  readonly folder: string;
  /** Keeps the jobs in place of a file in `folder`. */
  readonly journal?: JobJournal | undefined;
  /** Read at each use. */
  readonly caches: () => readonly BinaryCache[];
  /** Jobs at once; read at each use. Default 5. */
  readonly concurrency?: (() => number) | undefined;
  /** Called after each try to fill a cache: with the error when the cache did not work, else without. */
  readonly onCache?: ((cache: BinaryCache, error: unknown) => void) | undefined;
  /** Called after each try to bring a job into a cache. */
  readonly onTry?: ((ended: UploadTry) => void) | undefined;
  /** Called when a job is over; it is not among those that are pending any more. */
  readonly onDone?: ((job: UploadJob, error: Error | undefined) => void) | undefined;
  readonly logger?: Logger | undefined;
  /** Milliseconds before the first retry, doubled each time. Default 1000. */
  readonly retryDelayMs?: number | undefined;
  /** Default five minutes. */
  readonly maxRetryDelayMs?: number | undefined;
  /** Uniform in [0, 1). */
  readonly random?: (() => number) | undefined;
}

interface Entry {
  readonly job: UploadJob;
  readonly done: Promise<void>;
  readonly settle: (error?: Error) => void;
  /** Only its entry in the journal is left. */
  isOver: boolean;
}

/** Uploads closures in the background, oldest job first, and retries each until it is done or cannot succeed. */
export class UploadQueue {
  readonly #options: UploadQueueOptions;
  readonly #journal: JobJournal;
  readonly #logger: Logger;
  readonly #waiting: Entry[] = [];
  readonly #running = new Map<Entry, Promise<void>>();
  readonly #stop = new AbortController();
  /** Those that wait for their next try. */
  readonly #failed = new Set<UploadJob>();
  #hurry = new AbortController();

  private constructor(options: UploadQueueOptions) {
    checkMembers("UploadQueue", options, {
      folder: aText,
      caches: aFunction,
      concurrency: optional(aFunction),
      onCache: optional(aFunction),
      onTry: optional(aFunction),
      onDone: optional(aFunction),
      logger: optional(aLogger),
    });
    this.#options = options;
    this.#logger = options.logger ?? silentLogger;
    this.#journal = options.journal ?? new UploadJournal(options.folder, this.#logger);
  }

  /** Reads the journal and starts with what is in it. */
  static async open(options: UploadQueueOptions): Promise<UploadQueue> {
    const queue = new UploadQueue(options);
    for (const job of await queue.#journal.load()) queue.#add(job);
    queue.#pump();
    return queue;
  }

  /** Jobs that are not done yet. */
  get size(): number {
    return this.#waiting.length + this.#inProgress().length;
  }

  /** Jobs that are not done, those in progress first, then oldest first. */
  pendingJobs(): UploadJob[] {
    return [...this.#inProgress(), ...this.#waiting].map(({ job }) => job);
  }

  /** Paths of all jobs that are not done, those in progress first; duplicates kept. */
  pendingPaths(): StorePath[] {
    return this.pendingJobs().flatMap(({ paths }) => paths);
  }

  /** Jobs that wait for their next try after a failure are tried now; how many there were. */
  retryNow(): number {
    const waiting = this.#failed.size;
    this.#hurry.abort();
    this.#hurry = new AbortController();
    return waiting;
  }

  /**
   * Resolves when the job is safe on disk. `done` resolves when it is in all its caches, and rejects when it never can
   * be (`mismatch`, `invalid-path`, and `missing` when it comes from a cache) or the queue is closed first; it need not be listened to.
   */
  async enqueue(request: UploadRequest): Promise<{ readonly id: string; readonly done: Promise<void> }> {
    this.#stop.signal.throwIfAborted();
    const job = await this.#journal.add(request);
    const { done } = this.#add(job);
    this.#pump();
    return { id: job.id, done };
  }

  /** Resolves when nothing is left to do. */
  async idle(): Promise<void> {
    for (;;) {
      const next = this.#running.values().next();
      if (next.done === true) return;
      await next.value;
    }
  }

  /** Stops what is in progress; the journal keeps it for the next time. */
  async close(): Promise<void> {
    this.#stop.abort(new BinaryCacheError("unavailable", "the upload queue is closed"));
    await Promise.all(this.#running.values());
    for (const entry of this.#waiting.splice(0)) entry.settle(closedError());
    await this.#journal.close();
  }

  #inProgress(): readonly Entry[] {
    return [...this.#running.keys()].filter(({ isOver }) => !isOver);
  }

  #add(job: UploadJob): Entry {
    let settle: (error?: Error) => void = () => undefined;
    const done = new Promise<void>((resolve, reject) => {
      settle = (error) => (error === undefined ? resolve() : reject(error));
    });
    done.catch(() => undefined);
    const entry: Entry = { job, done, settle, isOver: false };
    this.#waiting.push(entry);
    return entry;
  }

  #pump(): void {
    const limit = Math.max(1, this.#options.concurrency?.() ?? 5);
    while (this.#running.size < limit && !this.#stop.signal.aborted) {
      const entry = this.#takeNext();
      if (entry === undefined) return;
      const task = this.#run(entry).finally(() => {
        this.#running.delete(entry);
        this.#pump();
      });
      this.#running.set(entry, task);
    }
  }

  /** Logs of one derivation go out in the order of its tries, or an old one could replace a newer one. */
  #takeNext(): Entry | undefined {
    const busy = new Set([...this.#running.keys()].map(({ job }) => job.log?.drv));
    const index = this.#waiting.findIndex(({ job }) => job.log === undefined || !busy.has(job.log.drv));
    return index < 0 ? undefined : this.#waiting.splice(index, 1)[0];
  }

  async #run(entry: Entry): Promise<void> {
    const { job } = entry;
    let error: Error | undefined;
    try {
      await this.#untilDone(job);
    } catch (thrown) {
      if (this.#stop.signal.aborted) {
        entry.settle(closedError());
        return;
      }
      error = thrown instanceof Error ? thrown : new Error(String(thrown));
      this.#logger.error("upload failed permanently", { job: job.id, paths: job.paths, error });
    }
    entry.isOver = true;
    entry.settle(error);
    this.#options.onDone?.(job, error);
    // Nothing waits for its entry to go: doing it again after a crash does no harm.
    await this.#journal.remove(job).catch((thrown: unknown) => {
      this.#logger.warn("cannot remove an entry of the upload journal", { job: job.id, error: thrown });
    });
  }

  /** Tries again, later each time, until it works or cannot work. Caches that are done are not asked again. */
  async #untilDone(job: UploadJob): Promise<void> {
    const { retryDelayMs = 1000, maxRetryDelayMs = 300_000, random = Math.random, onTry } = this.#options;
    const finished = new Set<string>();
    const work = (): Promise<void> => {
      this.#failed.delete(job);
      return this.#attempt(job, finished);
    };
    await retry(work, {
      classify: (error) => (isHopeless(job, error) ? "final" : "passing"),
      delayMs: (failures) =>
        backoffDelay(failures, { firstMs: retryDelayMs, longestMs: maxRetryDelayMs, random }),
      signal: this.#stop.signal,
      hurry: () => this.#hurry.signal,
      ref: false,
      onRetry: ({ error, failures, delayMs }) => {
        this.#failed.add(job);
        // Who hears of each try says it in their own way.
        this.#logger[onTry === undefined ? "warn" : "debug"]("an upload failed and will be tried again", {
          job: job.id,
          attempt: failures,
          delayMs: Math.round(delayMs),
          error,
        });
      },
    }).finally(() => this.#failed.delete(job));
  }

  async #attempt(job: UploadJob, finished: Set<string>): Promise<void> {
    const { signal } = this.#stop;
    const caches = this.#options
      .caches()
      .filter(
        ({ name, uri }) => (job.caches === undefined || job.caches.includes(name)) && !finished.has(uri),
      );
    if (caches.length === 0) return;
    const { closure, openNar, caches: all } = this.#options;
    const started = performance.now();
    const ended = (cache: BinaryCache, since: number, outcome: UploadTry["outcome"]): void =>
      this.#options.onTry?.({ job, cache, ms: Math.round(performance.now() - since), outcome });
    let into: IntoCache;
    try {
      const store = { closure, openNar };
      into = await prepareUpload(job, { store, caches: all(), logger: this.#logger, signal });
    } catch (error) {
      signal.throwIfAborted();
      // No cache is to blame.
      const retried = !isHopeless(job, error);
      for (const cache of caches) ended(cache, started, { kind: "failed", error, retried });
      throw error;
    }
    const failures: unknown[] = [];
    // One cache that is down does not keep the others from their data.
    for (const cache of caches) {
      const since = performance.now();
      try {
        const written = await into(cache);
        finished.add(cache.uri);
        this.#options.onCache?.(cache, undefined);
        ended(cache, since, { kind: "uploaded", ...written });
      } catch (error) {
        signal.throwIfAborted();
        failures.push(error);
        const retried = !isHopeless(job, error);
        if (retried) this.#options.onCache?.(cache, error);
        ended(cache, since, { kind: "failed", error, retried });
      }
    }
    const retryable = failures.find((error) => !isHopeless(job, error));
    if (failures.length > 0) throw retryable ?? failures[0];
  }
}

function closedError(): BinaryCacheError {
  return new BinaryCacheError("unavailable", "the upload queue was closed; the job stays in its journal");
}
