/** How long steps of a name usually take: the median of their recent successes. */
import type { Session } from "../session.js";
import { stepStatus, stepType } from "../status-numbers.js";

/** Steps that are expected to take about the same time. */
export interface StepKind {
  /** Name of the derivation, without hash and `.drv`. */
  readonly name: string;
  readonly system: string;
}

/** Names are not indexed, so a bounded number of the newest steps is looked through for all kinds at once. */
const newestSteps = 50_000;

const statement = `
  WITH recent AS (
    SELECT substring(drvpath FROM '/[^/-]+-([^/]*)\\.drv$') AS name, system, stoptime - starttime AS seconds
      FROM buildsteps
     WHERE starttime IS NOT NULL AND stoptime IS NOT NULL AND stoptime >= starttime
       AND starttime > 0 AND status = ${stepStatus.succeeded} AND type = ${stepType.build}
     ORDER BY stoptime DESC LIMIT ${newestSteps}
  )
  SELECT k.name, k.system, percentile_cont(0.5) WITHIN GROUP (ORDER BY r.seconds) AS seconds
    FROM (SELECT DISTINCT name, system FROM unnest($1::text[], $2::text[]) AS i(name, system)) k
    JOIN recent r ON r.name = k.name AND r.system = k.system
   GROUP BY k.name, k.system`;

/** Median seconds by `system/name`; kinds without a recent success are absent. */
export async function stepDurations(
  session: Session,
  steps: readonly StepKind[],
): Promise<Map<string, number>> {
  if (steps.length === 0) return new Map();
  const { rows } = await session.query<{ name: string; system: string; seconds: number }>(statement, [
    steps.map((step) => step.name),
    steps.map((step) => step.system),
  ]);
  return new Map(rows.map((row) => [`${row.system}/${row.name}`, row.seconds]));
}
