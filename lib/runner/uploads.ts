/**
 * Where outputs go after they arrived: garbage-collector roots, binary caches, other stores.
 *
 * Uploads are jobs of a queue that keeps a journal, so a crash loses none. A build is called finished when its outputs
 * are in the caches, or when they are in the journal and the caches have been out of order for a while: an outage
 * delays results, it neither loses nor changes them.
 */
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import {
  type BinaryCache,
  BinaryCacheError,
  openBinaryCache,
  type Presence,
  PresignedCache,
  UploadQueue,
  type UploadRequest,
} from "../binary-cache/index.js";
import type { OverflowStoreConfig } from "../config/types.js";
import type { Logger } from "../log.js";
import type { StorePath } from "../nix/store-path.js";
import type { RemoteStoreReport } from "../status/index.js";
import type { Attempt } from "./attempts.js";
import type { TaskGroup } from "./concurrency.js";
import type { GcRoots } from "./gc-roots.js";
import type { LogStore } from "./log-store.js";
import { NixCopy } from "./nix-copy.js";
import type { RunnerStore } from "./runner-store.js";

/** Outputs of a step that succeeded. */
export interface Publication {
  readonly attempt: Attempt;
  readonly outputs: ReadonlyMap<string, StorePath>;
  /** Paths of our store: all outputs, or with presigned uploads those that the builder did not upload. */
  readonly toUpload: readonly StorePath[];
  /** Some build is finished by this step, so its outputs should be in the caches before the build says so. */
  readonly finishesBuilds: boolean;
}

export interface UploadTargets {
  /** Addresses as configured: `s3://…`, `file://…`, and others that `nix copy` understands. */
  readonly stores: readonly string[];
  readonly overflow: OverflowStoreConfig | undefined;
}

export interface UploadsOptions {
  readonly store: RunnerStore;
  readonly logs: Pick<LogStore, "pathOf">;
  readonly roots: GcRoots;
  readonly tasks: TaskGroup;
  readonly logger: Logger;
  /** False with presigned uploads: the builders have put outputs into the bucket themselves. */
  readonly outputsAreLocal: () => boolean;
  /** Upload jobs at once. */
  readonly concurrency: () => number;
  /** Folder of the journal. */
  readonly journalFolder: string;
  /** How long a finished build may wait for caches that do not answer, in milliseconds. Default ten minutes. */
  readonly patienceMs?: number;
}

/** No builder takes so long for one NAR, and its URLs have expired. Milliseconds. */
const staleUploadAge = 24 * 3_600_000;

interface Opened {
  readonly targets: UploadTargets;
  readonly caches: readonly BinaryCache[];
  readonly overflow: BinaryCache | undefined;
  readonly others: readonly NixCopy[];
}

const nothing: Opened = {
  targets: { stores: [], overflow: undefined },
  caches: [],
  overflow: undefined,
  others: [],
};

export class Uploads {
  readonly #options: UploadsOptions;
  #opened: Opened = nothing;
  #queue: UploadQueue | undefined;

  constructor(options: UploadsOptions) {
    this.#options = options;
  }

  /**
   * Opens the stores; does nothing when they are the same as before.
   *
   * @throws UsageError, BinaryCacheError when an address or a key cannot be used; the old stores then stay in use
   */
  async open(targets: UploadTargets): Promise<void> {
    if (JSON.stringify(targets) === JSON.stringify(this.#opened.targets)) return;
    const { store, logger } = this.#options;
    const caches: BinaryCache[] = [];
    const others: NixCopy[] = [];
    const openCache = (uri: string): Promise<BinaryCache> =>
      openBinaryCache(uri, { storeDir: store.storeDir, logger });
    try {
      for (const uri of targets.stores) {
        if (/^(s3|file):\/\//.test(uri)) caches.push(await openCache(uri));
        else others.push(new NixCopy({ target: uri, logger, store }));
      }
      const overflow = targets.overflow === undefined ? undefined : await openCache(targets.overflow.store);
      const before = this.#opened;
      this.#opened = { targets, caches, overflow, others };
      closeAll(before);
    } catch (error) {
      for (const cache of caches) cache.close();
      throw error;
    }
  }

  /** Goes on with what an earlier process left in the journal. */
  async start(): Promise<void> {
    const { store, journalFolder, concurrency, logger } = this.#options;
    this.#queue = await UploadQueue.open({
      folder: join(journalFolder, "uploads"),
      caches: () => this.#all(),
      closure: (paths, signal) => store.closure(paths, { signal }),
      openNar: (path, signal) => store.narFromPath(path, signal === undefined ? {} : { signal }),
      concurrency,
      logger,
    });
    if (!this.#options.outputsAreLocal()) this.#options.tasks.start(() => this.#abortStale());
  }

  /** Uploads in parts whose builder or runner died: nobody else frees the space they take. */
  async #abortStale(): Promise<void> {
    for (const cache of this.#all()) {
      if (!(cache instanceof PresignedCache)) continue;
      try {
        const uploads = await cache.abortStale(Date.now() - staleUploadAge);
        if (uploads > 0) this.#options.logger.info("aborted old uploads", { cache: cache.name, uploads });
      } catch (error) {
        this.#options.logger.warn("cannot look for old uploads", { cache: cache.name, error });
      }
    }
  }

  async close(): Promise<void> {
    await this.#queue?.close();
    closeAll(this.#opened);
    this.#opened = nothing;
  }

  /** Makes the outputs of a step safe and public; resolves when builds that need them may be called done. */
  async publish({ attempt, outputs, toUpload, finishesBuilds }: Publication): Promise<void> {
    await this.#options.roots.add(toUpload);
    const uploaded = this.#enqueue(attempt, {
      paths: toUpload,
      log: { drv: attempt.drv, file: this.#options.logs.pathOf(attempt.drv) },
      realisations: [...outputs]
        .filter(([name]) => attempt.facts.outputs.get(name) === undefined)
        .map(([outputName, outPath]) => ({ drvPath: attempt.drv, outputName, outPath })),
    });
    const copied = toUpload.length === 0 ? [] : this.#opened.others.map((target) => target.copy(toUpload));
    const everywhere = Promise.all([uploaded, ...copied]);
    if (!finishesBuilds) {
      this.#options.tasks.start(() => uploaded);
      return;
    }
    const { patienceMs = 10 * 60_000 } = this.#options;
    const patience = new AbortController();
    try {
      await Promise.race([everywhere, sleep(patienceMs, undefined, { ref: false, signal: patience.signal })]);
    } finally {
      patience.abort();
    }
  }

  /**
   * The log of a try that did not succeed. `name` keeps it apart from those of other tries; `decisive` when no other
   * try follows, so that it also is *the* log of the derivation.
   */
  async putLog(attempt: Attempt, name: string, decisive: boolean): Promise<void> {
    const log = { drv: attempt.drv, file: this.#options.logs.pathOf(attempt.drv) };
    await Promise.all([
      this.#enqueue(attempt, { paths: [], log: { ...log, attempt: name } }),
      decisive && this.#enqueue(attempt, { paths: [], log }),
    ]);
  }

  /** What all caches together know: `present` when each has the path, `absent` when one surely lacks it. */
  async presence(paths: readonly StorePath[]): Promise<Map<StorePath, Presence>> {
    const { caches } = this.#opened;
    const combined = new Map<StorePath, Presence>();
    if (paths.length === 0 || caches.length === 0) return combined;
    const answers = await Promise.all(caches.map((cache) => cache.hasNarInfos(paths)));
    for (const path of paths) {
      const all = answers.map((answer) => answer.get(path) ?? "unknown");
      combined.set(path, all.includes("absent") ? "absent" : all.includes("unknown") ? "unknown" : "present");
    }
    return combined;
  }

  /** Paths of our store go into the caches in one job. Resolves when the job cannot be lost any more. */
  async uploadLater(paths: readonly StorePath[]): Promise<void> {
    const caches = this.#names();
    if (paths.length === 0 || caches.length === 0) return;
    await this.#queue?.enqueue({ paths: [...new Set(paths)], caches });
  }

  /** The bucket that builders upload the outputs of an attempt to. */
  presignedCache(attempt: Attempt): PresignedCache | undefined {
    const { caches, overflow } = this.#opened;
    const candidates = this.#overflows(attempt) ? [overflow] : caches;
    return candidates.find((cache) => cache instanceof PresignedCache);
  }

  wantsDebugInfo(): boolean {
    return this.#opened.caches[0]?.settings.writeDebugInfo ?? false;
  }

  pending(): readonly StorePath[] {
    return this.#queue?.pendingPaths() ?? [];
  }

  pendingCount(): number {
    return this.#queue?.size ?? 0;
  }

  traffic(): readonly RemoteStoreReport[] {
    return this.#all().map((cache) => cache.traffic());
  }

  /** Resolves when the job is done, or will be done by a later process. */
  async #enqueue(attempt: Attempt, request: UploadRequest): Promise<void> {
    const caches = this.#overflows(attempt) ? this.#overflowNames() : this.#names();
    if (this.#queue === undefined || caches.length === 0) return;
    try {
      const { done } = await this.#queue.enqueue({ ...request, caches });
      await done;
    } catch (error) {
      // Closed: the journal has it. Anything else was logged by the queue and cannot be helped by waiting.
      if (!(error instanceof BinaryCacheError)) throw error;
    }
  }

  /** The overflow store takes a step when every jobset that wants it is listed. */
  #overflows(attempt: Attempt): boolean {
    const { targets, overflow } = this.#opened;
    if (overflow === undefined || targets.overflow === undefined || attempt.jobsets.length === 0)
      return false;
    const listed = new Set(targets.overflow.jobsets);
    return attempt.jobsets.every((jobset) => listed.has(jobset));
  }

  #all(): readonly BinaryCache[] {
    const { caches, overflow } = this.#opened;
    return overflow === undefined ? caches : [...caches, overflow];
  }

  #names(): readonly string[] {
    return this.#opened.caches.map((cache) => cache.name);
  }

  #overflowNames(): readonly string[] {
    return this.#opened.overflow === undefined ? [] : [this.#opened.overflow.name];
  }
}

function closeAll({ caches, overflow }: Opened): void {
  for (const cache of caches) cache.close();
  overflow?.close();
}
