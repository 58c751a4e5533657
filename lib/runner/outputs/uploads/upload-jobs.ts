/**
 * Upload jobs of a runner: the upload queue with its journal below the runner's folder, and what is done when the journal
 * cannot be written.
 *
 * Problems and events of uploads begin here.
 */
import { join } from "node:path";
import { whenThereIsRoom } from "../../../async/index.js";
import {
  type BinaryCache,
  BinaryCacheError,
  type JobJournal,
  UploadQueue,
  type UploadRequest,
} from "../../../binary-cache/index.js";
import { oneChunk } from "../../../binary-cache/objects/byte-streams.js";
import { lendingStream } from "../../../compression/index.js";
import { isForbidden, isShortage } from "../../../errors.js";
import type { Logger } from "../../../log.js";
import type { StorePath } from "../../../nix/path/store-path.js";
import type { ValidPathInfo } from "../../../nix/store/path-info.js";
import type { EventEmitter } from "../../events/index.js";
import type { ProblemReporter } from "../../state/problems.js";
import type { RunnerStore } from "../../state/runner-store.js";
import { UploadEvents } from "./upload-events.js";

/** What upload jobs work with. */
export interface UploadJobsOptions {
  readonly store: Pick<RunnerStore, "closure" | "narFromPath">;
  /** Read at each use: a reload changes them. */
  readonly caches: () => readonly BinaryCache[];
  readonly problems: ProblemReporter;
  readonly events: EventEmitter;
  readonly logger: Logger;
  /** The NAR of a path that need not be read from the store; undefined for any other. */
  readonly heldNar: (info: ValidPathInfo) => Uint8Array | undefined;
  /** Jobs at once. */
  readonly concurrency: () => number;
  /** Folder of the journal. */
  readonly journalFolder: string;
  /** A journal that is kept elsewhere. */
  readonly journal?: JobJournal | undefined;
}

/** A store path that is not in all its caches yet. */
export interface WaitingPath {
  readonly path: StorePath;
  /** Milliseconds since the epoch. */
  readonly since: number;
}

/** Jobs that are in the journal until they are done. Without effect until `start`. */
export class UploadJobs {
  readonly #store: UploadJobsOptions["store"];
  readonly #caches: () => readonly BinaryCache[];
  readonly #heldNar: UploadJobsOptions["heldNar"];
  readonly #problems: ProblemReporter;
  readonly #events: UploadEvents;
  readonly #logger: Logger;
  readonly #concurrency: () => number;
  readonly #journalFolder: string;
  readonly #journal: JobJournal | undefined;
  readonly #closed = new AbortController();
  #queue: UploadQueue | undefined;

  constructor(options: UploadJobsOptions) {
    this.#store = options.store;
    this.#caches = options.caches;
    this.#heldNar = options.heldNar;
    this.#problems = options.problems;
    this.#events = new UploadEvents(options.events);
    this.#logger = options.logger;
    this.#concurrency = options.concurrency;
    this.#journalFolder = options.journalFolder;
    this.#journal = options.journal;
  }

  /** Goes on with what an earlier process left in the journal. */
  async start(): Promise<void> {
    const open = (): Promise<UploadQueue> =>
      UploadQueue.open({
        folder: join(this.#journalFolder, "uploads"),
        journal: this.#journal,
        caches: this.#caches,
        closure: (paths, signal) => this.#store.closure(paths, { signal }),
        openNar: (path, signal, info) => this.#openNar(path, signal, info),
        concurrency: this.#concurrency,
        logger: this.#logger,
        onCache: (cache, error) => {
          if (error === undefined) this.#problems.end("upload-failing", cache.name);
          else this.#problems.begin({ code: "upload-failing", subject: cache.name, cause: error });
        },
        onTry: (ended) => this.#events.tried(ended),
        onDone: (job, error) => {
          this.#events.done(job, error);
          if (this.pendingCount() === 0) this.#problems.keep("upload-failing", []);
        },
      });
    this.#queue = await this.#whenThereIsRoom(open, (error) => isShortage(error) && !isForbidden(error));
  }

  async close(): Promise<void> {
    this.#closed.abort(new BinaryCacheError("unavailable", "the uploads were closed"));
    await this.#queue?.close();
  }

  /** Store paths of jobs that are not done. */
  pending(): readonly StorePath[] {
    return this.#queue?.pendingPaths() ?? [];
  }

  pendingCount(): number {
    return this.#queue?.size ?? 0;
  }

  /** The first paths of jobs that are not done, with the time from which each waits. */
  waiting(limit: number): readonly WaitingPath[] {
    const found: WaitingPath[] = [];
    for (const { paths, addedAt } of this.#queue?.pendingJobs() ?? []) {
      for (const path of paths) {
        if (found.length >= limit) return found;
        found.push({ path, since: addedAt });
      }
    }
    return found;
  }

  /** From when on the oldest job waits; undefined: there is none. */
  oldestSince(): number | undefined {
    let oldest: number | undefined;
    for (const { addedAt } of this.#queue?.pendingJobs() ?? []) oldest = Math.min(oldest ?? addedAt, addedAt);
    return oldest;
  }

  /** Jobs that wait after a failure are tried now; how many there were. */
  retryNow(): number {
    return this.#queue?.retryNow() ?? 0;
  }

  /**
   * Resolves when the job is in the journal: what is not would be lost. `done` follows it to its end. Undefined before
   * `start`.
   */
  intoJournal(request: UploadRequest): Promise<{ readonly done: Promise<void> } | undefined> {
    return this.#whenThereIsRoom(async () => this.#queue?.enqueue(request));
  }

  /** Resolves when the job is done, or will be done by a later process. Does nothing when there are no `caches`. */
  async run(caches: readonly string[], request: UploadRequest): Promise<void> {
    if (this.#queue === undefined || caches.length === 0) return;
    try {
      const job = await this.intoJournal({ ...request, caches });
      await job?.done;
    } catch (error) {
      // Closed: the journal has it. Anything else was logged by the queue and cannot be helped by waiting.
      if (error instanceof BinaryCacheError) return;
      this.#logger.error("an upload could not be put into the journal", { paths: request.paths, error });
    }
  }

  #openNar(
    path: StorePath,
    signal: AbortSignal | undefined,
    info: ValidPathInfo | undefined,
  ): AsyncIterable<Uint8Array> {
    const held = info === undefined ? undefined : this.#heldNar(info);
    if (held !== undefined) return oneChunk(held);
    return lendingStream(() =>
      this.#store.narFromPath(path, { pieces: "lent", ...(signal === undefined ? {} : { signal }) }),
    );
  }

  /** A disk that is full is waited for. */
  #whenThereIsRoom<T>(work: () => Promise<T>, passes: (error: unknown) => boolean = isShortage): Promise<T> {
    return whenThereIsRoom(work, {
      passes,
      patienceMs: Number.POSITIVE_INFINITY,
      pause: { firstMs: 200, longestMs: 5_000 },
      signal: this.#closed.signal,
      onRetry: ({ error, failures }) => {
        if (failures === 1) {
          this.#logger.warn("the upload journal cannot be written; trying again", { error });
        }
      },
    });
  }
}
