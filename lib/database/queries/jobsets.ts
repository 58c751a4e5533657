/** Jobsets, their shares, and the machine time they used. */
import { drizzleOn } from "../drizzle-session.js";
import { jobsets as table } from "../schema/jobsets.js";
import type { Session } from "../session.js";

/** A jobset as far as scheduling is concerned. */
export interface JobsetRow {
  readonly id: number;
  readonly project: string;
  readonly name: string;
  readonly shares: number;
}

/** One step that used machine time, in Unix seconds. */
export interface UsedTime {
  readonly startTime: number;
  readonly stopTime: number;
}

/** All jobsets, in no particular order. */
export async function jobsets(session: Session): Promise<JobsetRow[]> {
  return drizzleOn(session)
    .select({ id: table.id, project: table.project, name: table.name, shares: table.schedulingShares })
    .from(table);
}

/** Steps of all kinds count, substitutions too, as they do for Hydra's own runner. */
export async function jobsetUsage(
  session: Session,
  ids: readonly number[],
  since: number,
): Promise<Map<number, UsedTime[]>> {
  const usage = new Map<number, UsedTime[]>();
  if (ids.length === 0) return usage;
  const { rows } = await session.query<{ jobset_id: number; starttime: number; stoptime: number }>(
    "SELECT b.jobset_id, s.starttime, s.stoptime FROM buildsteps s JOIN builds b ON b.id = s.build" +
      " WHERE s.starttime IS NOT NULL AND s.stoptime IS NOT NULL AND s.stoptime > $2::bigint" +
      " AND b.jobset_id = ANY($1::int[])",
    [ids, since],
  );
  for (const row of rows) {
    const used = usage.get(row.jobset_id) ?? [];
    used.push({ startTime: row.starttime, stopTime: row.stoptime });
    usage.set(row.jobset_id, used);
  }
  return usage;
}
