/** What the front-end does with a build that waits: cancel it, or move it to the front. */
import { and, eq, ne, sql } from "drizzle-orm";
import { drizzleOn } from "../drizzle-session.js";
import { fittingTime } from "../fitting-time.js";
import { builds } from "../schema/builds.js";
import type { Transaction } from "../session.js";
import { buildStatus } from "../status-numbers.js";

/** `cancelled`: by this call or before; `finished`: it has another result. */
export type CancelResult = "cancelled" | "finished";

const now = "extract(epoch from now())::bigint";

/**
 * Cancels a build as the front-end does: finished at once, with equal times, its steps untouched and without a
 * notification of its end. A trigger notifies `builds_cancelled`. Undefined when there is no such build.
 */
export async function cancelBuild(transaction: Transaction, id: number): Promise<CancelResult | undefined> {
  const db = drizzleOn(transaction);
  await db
    .update(builds)
    .set({
      finished: 1,
      buildStatus: buildStatus.cancelled,
      isCachedBuild: 0,
      startTime: sql.raw(fittingTime("builds.starttime", now)),
      stopTime: sql.raw(fittingTime("builds.stoptime", now)),
    })
    .where(and(eq(builds.id, id), eq(builds.finished, 0)));
  const [row] = await db.select({ status: builds.buildStatus }).from(builds).where(eq(builds.id, id));
  if (row === undefined) return undefined;
  return row.status === buildStatus.cancelled ? "cancelled" : "finished";
}

/**
 * Moves a build before all that were not moved later, as the front-end does: its global priority is the time. A trigger
 * notifies `builds_bumped`. Undefined when there is no such build.
 */
export async function bumpBuild(
  transaction: Transaction,
  id: number,
): Promise<"bumped" | "finished" | undefined> {
  const db = drizzleOn(transaction);
  const priority = sql.raw(fittingTime("builds.globalpriority", now));
  await db
    .update(builds)
    .set({ globalPriority: priority })
    .where(and(eq(builds.id, id), eq(builds.finished, 0), ne(builds.globalPriority, priority)));
  const [row] = await db.select({ finished: builds.finished }).from(builds).where(eq(builds.id, id));
  if (row === undefined) return undefined;
  return row.finished === 0 ? "bumped" : "finished";
}
