/**
 * Uploads in the background: whole closures with their logs, into one or several caches.
 *
 * Every job is in a journal on disk from before `enqueue` resolves until it is done, so a restart goes on where the
 * last process stopped. What a cache already has is skipped, so doing a job twice does no harm.
 */
import { once } from "node:events";
import { createReadStream } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { decompress } from "../compression/index.js";
import { type Logger, silentLogger } from "../log.js";
import type { ValidPathInfo } from "../nix/path-info.js";
import type { StorePath } from "../nix/store-path.js";
import type { BinaryCache, OpenNar } from "./binary-cache.js";
import { BinaryCacheError } from "./errors.js";
import {
  type LogUpload,
  logForms,
  type UploadJob,
  UploadJournal,
  type UploadRequest,
} from "./upload-journal.js";

export type { UploadJob, UploadRequest } from "./upload-journal.js";

export interface UploadQueueOptions {
  /** Where the journal is; made when missing. */
  readonly folder: string;
  /** Read at each use. */
  readonly caches: () => readonly BinaryCache[];
  /** Everything reachable from `paths`, references first; paths that are not valid are left out. */
  readonly closure: (paths: readonly StorePath[], signal: AbortSignal) => Promise<readonly ValidPathInfo[]>;
  readonly openNar: OpenNar;
  /** Jobs at once; read at each use. Default 5. */
  readonly concurrency?: (() => number) | undefined;
  /** Called when a job has left the journal. */
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
}

export class UploadQueue {
  readonly #options: UploadQueueOptions;
  readonly #journal: UploadJournal;
  readonly #logger: Logger;
  readonly #waiting: Entry[] = [];
  readonly #running = new Map<Entry, Promise<void>>();
  readonly #stop = new AbortController();

  private constructor(options: UploadQueueOptions) {
    this.#options = options;
    this.#logger = options.logger ?? silentLogger;
    this.#journal = new UploadJournal(options.folder, this.#logger);
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
    return this.#waiting.length + this.#running.size;
  }

  /** Paths of all jobs that are not done, those in progress first; duplicates kept. */
  pendingPaths(): StorePath[] {
    return [...this.#running.keys(), ...this.#waiting].flatMap(({ job }) => job.paths);
  }

  /**
   * Resolves when the job is safe on disk. `done` resolves when it is in all its caches, and rejects when it never can
   * be (`mismatch`, `invalid-path`) or the queue is closed first; it need not be listened to.
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
    while (this.size > 0) {
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

  #add(job: UploadJob): Entry {
    let settle: (error?: Error) => void = () => undefined;
    const done = new Promise<void>((resolve, reject) => {
      settle = (error) => (error === undefined ? resolve() : reject(error));
    });
    done.catch(() => undefined);
    const entry = { job, done, settle };
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
      this.#logger.error("an upload is given up", { job: job.id, paths: job.paths, error });
    }
    await this.#journal.remove(job).catch((thrown: unknown) => {
      this.#logger.warn("cannot remove an entry of the upload journal", { job: job.id, error: thrown });
    });
    entry.settle(error);
    this.#options.onDone?.(job, error);
  }

  /** Tries again, later each time, until it works or cannot work. Caches that are done are not asked again. */
  async #untilDone(job: UploadJob): Promise<void> {
    const { retryDelayMs = 1000, maxRetryDelayMs = 300_000, random = Math.random } = this.#options;
    const finished = new Set<string>();
    for (let attempt = 0; ; attempt++) {
      try {
        await this.#attempt(job, finished);
        return;
      } catch (error) {
        this.#stop.signal.throwIfAborted();
        if (isHopeless(error)) throw error;
        const delay =
          Math.min(maxRetryDelayMs, retryDelayMs * 2 ** Math.min(attempt, 30)) * (0.5 + random() / 2);
        this.#logger.warn("an upload failed and will be tried again", {
          job: job.id,
          attempt: attempt + 1,
          delayMs: Math.round(delay),
          error,
        });
        await sleep(delay, undefined, { signal: this.#stop.signal, ref: false });
      }
    }
  }

  async #attempt(job: UploadJob, finished: Set<string>): Promise<void> {
    const { signal } = this.#stop;
    const caches = this.#options
      .caches()
      .filter(
        ({ name, uri }) => (job.caches === undefined || job.caches.includes(name)) && !finished.has(uri),
      );
    if (caches.length === 0) return;
    const closure = await this.#options.closure(job.paths, signal);
    const valid = new Set(closure.map(({ path }) => path));
    const lost = job.paths.filter((path) => !valid.has(path));
    if (lost.length > 0) {
      throw new BinaryCacheError("invalid-path", `cannot upload ${lost.join(", ")}: no longer in the store`);
    }
    const failures: unknown[] = [];
    // One cache that is down does not keep the others from their data.
    for (const cache of caches) {
      try {
        await this.#into(cache, job, closure);
        finished.add(cache.uri);
      } catch (error) {
        signal.throwIfAborted();
        failures.push(error);
      }
    }
    const retryable = failures.find((error) => !isHopeless(error));
    if (failures.length > 0) throw retryable ?? failures[0];
  }

  async #into(cache: BinaryCache, job: UploadJob, closure: readonly ValidPathInfo[]): Promise<void> {
    const { signal } = this.#stop;
    if (job.log !== undefined) {
      const { drv, file } = job.log;
      const found = await this.#putLog(cache, job.log, signal);
      if (!found) this.#logger.warn("there is no log to upload", { drv, file });
    }
    await cache.uploadClosure(closure, this.#options.openNar, { signal });
    for (const realisation of job.realisations ?? []) await cache.putRealisation(realisation, { signal });
  }

  /** False when there is no such log in any form. */
  async #putLog(cache: BinaryCache, log: LogUpload, signal: AbortSignal): Promise<boolean> {
    const { drv, attempt } = log;
    for (const { suffix, method } of logForms) {
      const file = createReadStream(log.file + suffix);
      try {
        await once(file, "open", { signal });
        const text = method === "none" ? file : decompress(file, { method, signal });
        await cache.putLog(drv, text, { signal, attempt });
        return true;
      } catch (error) {
        if (!isAbsentFile(error)) throw error;
      } finally {
        file.destroy();
      }
    }
    return false;
  }
}

function isHopeless(error: unknown): boolean {
  return error instanceof BinaryCacheError && (error.code === "mismatch" || error.code === "invalid-path");
}

function isAbsentFile(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}

function closedError(): BinaryCacheError {
  return new BinaryCacheError("unavailable", "the upload queue was closed; the job stays in its journal");
}
