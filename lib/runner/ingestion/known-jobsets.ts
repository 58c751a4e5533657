/** Jobsets of the queue: their shares, and the machine time they used before this run. */
import type { HydraDatabase, UnfinishedBuild } from "../../database/index.js";
import { jobsetId } from "../../scheduler/ids.js";
import type { RunningScheduler } from "../state/running-scheduler.js";

const usageWindowSeconds = 86_400;

/** Makes jobsets known to the scheduler. */
export class KnownJobsets {
  readonly #scheduler: RunningScheduler;
  readonly #database: Pick<HydraDatabase, "jobsets" | "jobsetUsage">;
  readonly #known = new Set<number>();

  constructor(scheduler: RunningScheduler, database: Pick<HydraDatabase, "jobsets" | "jobsetUsage">) {
    this.#scheduler = scheduler;
    this.#database = database;
  }

  /** The shares of jobsets were changed. */
  async refreshShares(): Promise<void> {
    for (const jobset of await this.#database.jobsets()) {
      if (!this.#known.has(jobset.id)) continue;
      this.#scheduler.upsertJobset({ ...jobset, id: jobsetId(jobset.id) });
    }
  }

  /** The machine time that jobsets used before this run, once for each jobset. */
  async loadUsage(rows: readonly UnfinishedBuild[]): Promise<void> {
    const fresh = new Map<number, UnfinishedBuild>();
    for (const row of rows) if (!this.#known.has(row.jobsetId)) fresh.set(row.jobsetId, row);
    if (fresh.size === 0) return;
    const since = Math.floor(this.#scheduler.now() / 1000) - usageWindowSeconds;
    const usage = await this.#database.jobsetUsage([...fresh.keys()], since);
    for (const row of fresh.values()) {
      const id = jobsetId(row.jobsetId);
      this.#scheduler.upsertJobset({ id, project: row.project, name: row.jobset, shares: row.shares });
      this.#scheduler.loadJobsetUsage(
        id,
        (usage.get(row.jobsetId) ?? []).map((step) => ({
          start: step.startTime * 1000,
          duration: Math.max(0, step.stopTime - step.startTime) * 1000,
        })),
      );
      this.#known.add(row.jobsetId);
    }
  }
}
