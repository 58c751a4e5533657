/** A build that was submitted directly, without an evaluation. */
import { sql } from "drizzle-orm";
import { drizzleOn } from "../drizzle-session.js";
import { fittingTime } from "../fitting-time.js";
import { builds } from "../schema/builds.js";
import type { Transaction } from "../session.js";

/** A build to be added. */
export interface NewBuild {
  readonly jobsetId: number;
  /** Full path. */
  readonly drvPath: string;
  /** The derivation's platform. */
  readonly system: string;
  /** Default `debug`, as of Hydra's own runner. */
  readonly job?: string | undefined;
}

const maxSilentSeconds = 7_200;
const timeoutSeconds = 36_000;

/** Inserts the build and notifies `builds_added`. Returns its id; undefined when there is no such jobset. */
export async function submitBuild(transaction: Transaction, build: NewBuild): Promise<number | undefined> {
  // The lock keeps the jobset from being deleted before the row that refers to it is there.
  const found = await transaction.query<{ id: number }>(
    "SELECT id FROM jobsets WHERE id = $1 FOR KEY SHARE",
    [build.jobsetId],
  );
  if (found.rows.length === 0) return undefined;
  const job = build.job ?? "debug";
  const inserted = await drizzleOn(transaction)
    .insert(builds)
    .values({
      finished: 0,
      timestamp: sql.raw(fittingTime("builds.timestamp", "extract(epoch from now())::bigint")),
      jobsetId: build.jobsetId,
      job,
      nixName: job,
      drvPath: build.drvPath,
      system: build.system,
      maxSilent: maxSilentSeconds,
      timeout: timeoutSeconds,
      isChannel: 0,
      isCurrent: 0,
      priority: 100,
      globalPriority: 0,
      keep: 0,
    })
    .returning({ id: builds.id });
  await transaction.query("SELECT pg_notify('builds_added', '?')");
  return inserted[0]?.id;
}
