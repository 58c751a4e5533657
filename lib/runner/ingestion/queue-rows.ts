/** Rows of the queue as the runner takes them in, and those that it cannot use. */
import { BoundedMap } from "../../async/index.js";
import type { BuildDigest, UnfinishedBuild } from "../../database/index.js";
import type { Logger } from "../../log.js";
import { parseFullStorePath, type StoreDir, type StorePath } from "../../nix/path/store-path.js";
import { type BuildId, buildId, jobsetId } from "../../scheduler/ids.js";
import type { QueuedBuild } from "../state/queued-build.js";

/** A row of `builds` that cannot be used. */
export interface BadRow {
  readonly build: number;
  readonly reason: string;
  /** When it was found to be unusable, in milliseconds. */
  readonly since: number;
}

type JobsetNames = Pick<UnfinishedBuild, "project" | "jobset">;

/** Reads rows; remembers those that cannot be used, for as long as they are in the queue. */
export class QueueRows {
  readonly #storeDir: StoreDir;
  readonly #logger: Logger;
  readonly #now: () => number;
  readonly #bad = new Map<number, BadRow>();
  readonly #jobsets = new BoundedMap<number, JobsetNames>({ capacity: 1_000 });

  constructor(storeDir: StoreDir, logger: Logger, now: () => number) {
    this.#storeDir = storeDir;
    this.#logger = logger;
    this.#now = now;
  }

  /** Rows that cannot be used. */
  get bad(): readonly BadRow[] {
    return [...this.#bad.values()];
  }

  /** The builds of those rows that can be used; the others are reported. */
  usable(rows: readonly UnfinishedBuild[]): QueuedBuild[] {
    const builds: QueuedBuild[] = [];
    for (const row of rows) {
      try {
        const { project, jobset } = this.#names(row);
        builds.push({
          id: buildId(row.id),
          jobset: jobsetId(row.jobsetId),
          project,
          jobsetName: jobset,
          shares: row.shares,
          job: row.job,
          drv: parseFullStorePath(this.#storeDir, row.drvPath),
          timestamp: row.timestamp,
          maxSilent: row.maxSilent ?? undefined,
          timeout: row.timeout ?? undefined,
          localPriority: row.priority,
          globalPriority: row.globalPriority,
        });
        this.#bad.delete(row.id);
      } catch (error) {
        this.report(row.id, error instanceof Error ? error.message : String(error));
      }
    }
    return builds;
  }

  /** The derivations of those rows that name one. */
  derivations(rows: readonly Pick<BuildDigest, "drvPath">[]): StorePath[] {
    const found: StorePath[] = [];
    for (const { drvPath } of rows) {
      try {
        found.push(parseFullStorePath(this.#storeDir, drvPath));
      } catch {
        // `usable` reports it.
      }
    }
    return found;
  }

  /** The same texts for all rows of a jobset. */
  #names(row: UnfinishedBuild): JobsetNames {
    const known = this.#jobsets.get(row.jobsetId);
    if (known?.project === row.project && known.jobset === row.jobset) return known;
    const names = { project: row.project, jobset: row.jobset };
    this.#jobsets.set(row.jobsetId, names);
    return names;
  }

  /** A row cannot be used. The log says it once. */
  report(build: number, reason: string): void {
    const known = this.#bad.get(build);
    if (known === undefined) this.#logger.error("unusable build row skipped", { build, reason });
    this.#bad.set(build, { build, reason, since: known?.since ?? this.#now() });
  }

  /** Forgets bad rows that are not among those in the queue. */
  forgetOthers(listed: ReadonlySet<BuildId>): void {
    for (const id of this.#bad.keys()) if (!listed.has(buildId(id))) this.#bad.delete(id);
  }
}
