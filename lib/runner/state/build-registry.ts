/** The rows behind the builds in the scheduler: what the database said when they were taken in. */
import type { BuildId } from "../../scheduler/ids.js";
import type { QueuedBuild } from "./queued-build.js";

/** A build with its result. */
export interface EndedBuild {
  readonly build: Pick<QueuedBuild, "id" | "project" | "jobsetName" | "job" | "drv">;
  /** `builds.buildstatus` */
  readonly status: number;
  /** Milliseconds since the epoch. */
  readonly finishedAt: number;
  /** Milliseconds of the build's own step; 0 when there was none. */
  readonly durationMs: number;
  readonly machine: string | undefined;
  readonly cached: boolean;
}

/** A build in memory. */
export interface RegisteredBuild extends QueuedBuild {
  /** When it came into memory. Milliseconds since the epoch. */
  readonly takenAt: number;
}

/** The builds that have left since some moment; disposing of it ends the noting. */
export interface Departures extends Disposable {
  has(id: BuildId): boolean;
}

/** Builds that ended a short while ago are kept for the web page. */
export const recentKept = 100;

/** The builds in memory, and those that ended last. */
export class BuildRegistry {
  readonly #now: () => number;
  readonly #rows = new Map<BuildId, RegisteredBuild>();
  readonly #departures = new Set<Set<BuildId>>();
  #recent: EndedBuild[] = [];

  /** `now`: milliseconds since the epoch. Default `Date.now`. */
  constructor({ now = Date.now }: { readonly now?: () => number } = {}) {
    this.#now = now;
  }

  add(build: QueuedBuild): void {
    this.#rows.set(build.id, { ...build, takenAt: this.get(build.id)?.takenAt ?? this.#now() });
  }

  get(id: BuildId): RegisteredBuild | undefined {
    return this.#rows.get(id);
  }

  /** Those in memory, in the order in which they were taken in. */
  all(): Iterable<QueuedBuild> {
    return this.#rows.values();
  }

  /** Those in memory: in the scheduler, on the way to the database, or left over when neither knows them any more. */
  ids(): readonly BuildId[] {
    return [...this.#rows.keys()];
  }

  /** The build left the scheduler without a result of ours (cancelled, deleted, repointed). */
  remove(id: BuildId): void {
    this.#rows.delete(id);
    this.#left(id);
  }

  /** The build's result is in the database. */
  ended(id: BuildId, result: Omit<EndedBuild, "build">): void {
    const build = this.#rows.get(id);
    if (build === undefined) return;
    this.#rows.delete(id);
    this.#left(id);
    this.#recent = [{ build, ...result }, ...this.#recent].slice(0, recentKept);
  }

  /**
   * Notes which builds leave from now on. Rows that were read before a build left do not show that it has: taking it in
   * again would build it again.
   */
  departures(): Departures {
    const ids = new Set<BuildId>();
    this.#departures.add(ids);
    return { has: (id) => ids.has(id), [Symbol.dispose]: () => void this.#departures.delete(ids) };
  }

  #left(id: BuildId): void {
    for (const ids of this.#departures) ids.add(id);
  }

  /** Builds that ended before the start of the process, newest first. */
  recall(builds: readonly EndedBuild[]): void {
    const known = new Set(this.#recent.map(({ build }) => build.id));
    const earlier = builds.filter(({ build }) => !known.has(build.id));
    this.#recent = [...this.#recent, ...earlier].slice(0, recentKept);
  }

  /** Newest first. */
  get recent(): readonly EndedBuild[] {
    return this.#recent;
  }

  get size(): number {
    return this.#rows.size;
  }
}
