/**
 * Where outputs go after they arrived: garbage-collector roots, binary caches, other stores.
 *
 * Uploads are jobs of a queue that keeps a journal, so a crash loses none. A build is called finished when its outputs
 * are in the caches, or when they are in the journal and the caches have not answered for a while: an outage delays
 * results, it neither loses nor changes them.
 */
import { atMost, type TaskGroup } from "../../../async/index.js";
import {
  type BinaryCache,
  BinaryCacheError,
  type JobJournal,
  type Presence,
  type PresignedCache,
} from "../../../binary-cache/index.js";
import type { Logger } from "../../../log.js";
import type { StorePath } from "../../../nix/path/store-path.js";
import type { ValidPathInfo } from "../../../nix/store/path-info.js";
import type { BuiltOutput, NarStream } from "../../../rpc/types.js";
import type { RemoteStoreReport } from "../../../status/index.js";
import type { EventEmitter } from "../../events/index.js";
import type { Attempt, AttemptsInQuestion } from "../../state/attempts.js";
import type { StepFacts } from "../../state/derivation-catalog.js";
import type { ProblemReporter } from "../../state/problems.js";
import type { RunnerStore } from "../../state/runner-store.js";
import { readCachedOutput } from "../cached-outputs.js";
import type { GcRoots } from "../gc-roots.js";
import type { LogStore } from "../logs/log-store.js";
import type { UploadMode } from "../upload-mode.js";
import { CacheTargets, type Destination, presenceInAll, type UploadTargets } from "./cache-targets.js";
import { HeldNars } from "./held-nars.js";
import { StagedOutputs, type StagedStream } from "./staged-outputs.js";
import { UploadJobs, type WaitingPath } from "./upload-jobs.js";

/** Outputs of a step that succeeded. */
export interface Publication {
  readonly attempt: Attempt;
  readonly outputs: ReadonlyMap<string, StorePath>;
  /** Paths of our store: all outputs, or with presigned uploads those that the builder did not upload. */
  readonly toUpload: readonly StorePath[];
  /** `project:jobset` of all who want the step by now; more, perhaps, than when it was assigned. */
  readonly wantedBy: readonly string[];
  /** Some build is finished by this step, so its outputs should be in the caches before the build is recorded. */
  readonly finishesBuilds: boolean;
}

/** What uploads work with. */
export interface UploadsOptions {
  readonly store: RunnerStore;
  readonly logs: Pick<LogStore, "pathOf">;
  readonly roots: Pick<GcRoots, "add">;
  readonly tasks: TaskGroup;
  readonly problems: ProblemReporter;
  readonly events: EventEmitter;
  /** Caches besides those of the configuration; closed by their owner. Default: none. */
  readonly caches?: readonly BinaryCache[] | undefined;
  readonly logger: Logger;
  /** Read at each use: a reload changes it. */
  readonly uploadMode: () => UploadMode;
  /** Upload jobs at once. */
  readonly concurrency: () => number;
  /** Folder of the journal. */
  readonly journalFolder: string;
  /** A journal that is kept elsewhere. */
  readonly journal?: JobJournal | undefined;
  /** How long a finished build may wait for caches that do not answer, in milliseconds. Default ten minutes. */
  readonly patienceMs?: number;
}

/** No builder takes so long for one NAR, and its URLs have expired. Milliseconds. */
const staleUploadAge = 24 * 3_600_000;

/** Uploads into caches and other stores. */
export class Uploads {
  readonly #logs: UploadsOptions["logs"];
  readonly #roots: UploadsOptions["roots"];
  readonly #tasks: TaskGroup;
  readonly #problems: ProblemReporter;
  readonly #logger: Logger;
  readonly #uploadMode: () => UploadMode;
  readonly #patienceMs: number;
  readonly #targets: CacheTargets;
  readonly #staged = new StagedOutputs();
  readonly #held = new HeldNars();
  readonly #jobs: UploadJobs;

  constructor(options: UploadsOptions) {
    this.#logs = options.logs;
    this.#roots = options.roots;
    this.#tasks = options.tasks;
    this.#problems = options.problems;
    this.#logger = options.logger;
    this.#uploadMode = options.uploadMode;
    this.#patienceMs = options.patienceMs ?? 10 * 60_000;
    this.#targets = new CacheTargets(options);
    this.#jobs = new UploadJobs({
      ...options,
      caches: () => this.#targets.all,
      heldNar: (info) => this.#held.open(info),
    });
  }

  /**
   * Opens the stores; does nothing when they are the same as before.
   *
   * @throws UsageError, BinaryCacheError when an address or a key cannot be used; the old stores then stay in use
   */
  async open(targets: UploadTargets): Promise<void> {
    await this.#targets.open(targets);
    const names = this.#targets.all.map(({ name }) => name);
    this.#problems.keep("upload-failing", names);
    this.#problems.keep("cache-silent", names);
  }

  /** Goes on with what an earlier process left in the journal. */
  async start(): Promise<void> {
    await this.#jobs.start();
    if (this.#uploadMode() === "from-builders") this.#tasks.start(() => this.#abortStale());
  }

  /** Uploads in parts whose builder or runner died: nothing else frees the space they take. */
  async #abortStale(): Promise<void> {
    for (const cache of this.#targets.all) {
      if (cache.presigned === undefined) continue;
      try {
        const uploads = await cache.presigned.abortStale(Date.now() - staleUploadAge);
        if (uploads > 0) this.#logger.info("aborted old uploads", { cache: cache.name, uploads });
      } catch (error) {
        this.#logger.warn("cannot look for old uploads", { cache: cache.name, error });
      }
    }
  }

  async close(): Promise<void> {
    await this.#jobs.close();
    await this.#staged.close();
    this.#targets.close();
  }

  /**
   * Writes what `stream` brings for an attempt into the caches while it is received, or keeps it when it is small, where that
   * can be: `publish` then finds it there. One of `attempts` must be the one it is for.
   */
  stage(stream: NarStream, attempts: Pick<AttemptsInQuestion, "making">): StagedStream | undefined {
    if (this.#uploadMode() === "from-builders") return undefined;
    const makers = new Set(stream.infos.flatMap(({ path }) => attempts.making(path)));
    for (const attempt of makers) {
      const caches = this.#targets.of(this.#targets.destination(attempt.jobsets));
      if (caches.length === 0) continue;
      const staged = this.#staged.begin(stream, attempt, caches) ?? this.#held.begin(stream, attempt);
      if (staged !== undefined) return staged;
    }
    return undefined;
  }

  /**
   * A path of our store as one zstd frame, where a cache in a folder has just that. Undefined when none has, or when it
   * cannot be read.
   */
  async openFrame(info: ValidPathInfo, signal: AbortSignal): Promise<AsyncIterable<Uint8Array> | undefined> {
    for (const cache of this.#targets.all) {
      try {
        const frame = await cache.openFrame(info, { signal });
        if (frame !== undefined) return frame;
      } catch (error) {
        signal.throwIfAborted();
        this.#logger.debug("sending a NAR from the store", { path: info.path, error });
      }
    }
    return undefined;
  }

  /** What is staged for an attempt and was not published is not wanted. */
  discardStaged(attempt: Attempt): Promise<void> {
    this.#held.discard(attempt.id);
    return this.#staged.discard(attempt.id);
  }

  /** Makes the outputs of a step safe and public; resolves when builds that need them may be called done. */
  async publish(publication: Publication): Promise<void> {
    const { attempt, outputs, toUpload, wantedBy, finishesBuilds } = publication;
    const rooted = this.#roots.add(toUpload);
    const destination = this.#targets.destination(wantedBy);
    const caches = this.#names(destination);
    const realisations = [...outputs]
      .filter(([name]) => !attempt.facts.impure && attempt.facts.outputs.get(name) === undefined)
      .map(([outputName, outPath]) => ({ drvPath: attempt.drv, outputName, outPath }));
    const uploaded = Promise.all([
      this.#jobs.run(caches, {
        paths: toUpload,
        log: { drv: attempt.drv, file: this.#logs.pathOf(attempt.drv) },
        realisations,
      }),
      this.#spread(publication, destination),
    ]).finally(() => void this.discardStaged(attempt));
    const copied = toUpload.length === 0 ? [] : this.#targets.others.map((target) => target.copy(toUpload));
    const everywhere = Promise.all([rooted, uploaded, ...copied]);
    if (!finishesBuilds) {
      await rooted;
      this.#tasks.start(async () => void (await uploaded));
      return;
    }
    await atMost(everywhere, this.#patienceMs);
  }

  /**
   * The log of a try that did not succeed. `name` keeps it apart from those of other tries; `decisive` when no other
   * try follows, so that it also is *the* log of the derivation.
   */
  async putLog(attempt: Attempt, name: string, decisive: boolean): Promise<void> {
    const log = { drv: attempt.drv, file: this.#logs.pathOf(attempt.drv) };
    const caches = this.#names(this.#targets.destination(attempt.jobsets));
    await Promise.all([
      this.#jobs.run(caches, { paths: [], log: { ...log, attempt: name } }),
      decisive && this.#jobs.run(caches, { paths: [], log }),
    ]);
  }

  /** Where outputs belong that these jobsets (`project:jobset`) want. */
  destination(jobsets: readonly string[]): Destination {
    return this.#targets.destination(jobsets);
  }

  /**
   * What is known of paths where they belong: `present` when each cache there has the path, `absent` when one surely
   * lacks it. What belongs into the overflow store may be in the caches as well.
   */
  async presence(paths: readonly StorePath[], destination: Destination): Promise<Map<StorePath, Presence>> {
    const found = await presenceInAll(this.#asked(destination), paths);
    if (destination === "caches") return found;
    const rest = paths.filter((path) => found.get(path) !== "present");
    for (const [path, presence] of await presenceInAll(this.#asked("caches"), rest)) {
      if (presence === "present") found.set(path, presence);
    }
    return found;
  }

  /** Those of `paths` that the overflow store surely has. */
  async inOverflow(paths: readonly StorePath[]): Promise<Set<StorePath>> {
    const presence = await presenceInAll(this.#targets.of("overflow"), paths);
    return new Set(paths.filter((path) => presence.get(path) === "present"));
  }

  /** Paths of our store go where they belong in one job. Resolves when the job cannot be lost any more. */
  async uploadLater(paths: readonly StorePath[], destination: Destination): Promise<void> {
    const caches = this.#names(destination);
    if (paths.length === 0 || caches.length === 0) return;
    await this.#jobs.intoJournal({ paths: [...new Set(paths)], caches });
  }

  /**
   * Brings the outputs of a derivation, and its log, from the overflow store into the caches. Resolves when they are there.
   *
   * @throws BinaryCacheError when they cannot be, or (`unavailable`) when the queue is closed first
   */
  async copyFromOverflow({ drv, outputs, needsResolution, impure }: StepFacts): Promise<void> {
    const [cache] = this.#names("overflow");
    if (cache === undefined)
      throw new BinaryCacheError("missing", "the overflow store is no longer configured");
    const realisations = [...outputs].flatMap(([outputName, outPath]) =>
      outPath === undefined || !needsResolution || impure ? [] : [{ drvPath: drv, outputName, outPath }],
    );
    const job = await this.#jobs.intoJournal({
      paths: [...outputs.values()].filter((path) => path !== undefined),
      from: { cache, drv },
      realisations,
      caches: this.#names("caches"),
    });
    await job?.done;
  }

  /** The bucket that builders upload the outputs of an attempt to. */
  presignedCache(attempt: Attempt): PresignedCache | undefined {
    return this.#targets.presigned(this.#targets.destination(attempt.jobsets));
  }

  /** What each of the caches knows about a path. @throws BinaryCacheError, NixFormatError */
  async *publishedInfos(path: StorePath): AsyncGenerator<ValidPathInfo> {
    for (const cache of this.#targets.all) {
      const info = await cache.narInfo(path);
      if (info !== undefined) yield info;
    }
  }

  /** What a cache knows of an output that our store does not have; undefined when none has it. */
  readOutput(outputName: string, path: StorePath): Promise<BuiltOutput | undefined> {
    return readCachedOutput(this.#targets.all, outputName, path, this.#logger);
  }

  wantsDebugInfo(): boolean {
    return this.#targets.of("caches")[0]?.settings.writeDebugInfo ?? false;
  }

  pending(): readonly StorePath[] {
    return this.#jobs.pending();
  }

  pendingCount(): number {
    return this.#jobs.pendingCount();
  }

  /** See `UploadJobs.waiting`. */
  waiting(limit: number): readonly WaitingPath[] {
    return this.#jobs.waiting(limit);
  }

  /** See `UploadJobs.oldestSince`. */
  oldestSince(): number | undefined {
    return this.#jobs.oldestSince();
  }

  /** See `UploadJobs.retryNow`. */
  retryNow(): number {
    return this.#jobs.retryNow();
  }

  traffic(): readonly RemoteStoreReport[] {
    return this.#targets.all.map((cache) => cache.traffic());
  }

  /** What its builder put into one bucket goes from there to the others, and where it is wanted by now. */
  async #spread({ attempt, outputs, toUpload }: Publication, destination: Destination): Promise<void> {
    if (this.#uploadMode() === "through-runner") return;
    const bucket = this.presignedCache(attempt);
    const ours = new Set(toUpload);
    const paths = [...outputs.values()].filter((path) => !ours.has(path));
    const caches = this.#names(destination).filter((name) => name !== bucket?.name);
    if (bucket === undefined || paths.length === 0 || caches.length === 0) return;
    await this.#jobs.run(caches, { paths, from: { cache: bucket.name } });
  }

  /** Builders fill one bucket; what is there is spread from it. */
  #asked(destination: Destination): readonly BinaryCache[] {
    const bucket = this.#uploadMode() === "from-builders" ? this.#targets.presigned(destination) : undefined;
    return bucket === undefined ? this.#targets.of(destination) : [bucket];
  }

  #names(destination: Destination): readonly string[] {
    return this.#targets.of(destination).map((cache) => cache.name);
  }
}
