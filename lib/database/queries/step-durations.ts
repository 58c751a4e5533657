/** How long steps of a name usually take: the median of their recent successes. */
import type { Session, Transaction } from "../session.js";
import { stepStatus, stepType } from "../status-numbers.js";

/** Steps that are expected to take about the same time. */
export interface StepKind {
  /** Name of the derivation, without hash and `.drv`. */
  readonly name: string;
  readonly system: string;
}

/** Names are not indexed, so a bounded number of the newest steps is looked through for all kinds at once. */
const newestSteps = 50_000;

const recent = `
  WITH recent AS (
    SELECT substring(drvpath FROM '/[^/-]+-([^/]*)\\.drv$') AS name, system, stoptime - starttime AS seconds
      FROM buildsteps
     WHERE starttime IS NOT NULL AND stoptime IS NOT NULL AND stoptime >= starttime
       AND starttime > 0 AND status = ${stepStatus.succeeded} AND type = ${stepType.build}
     ORDER BY stoptime DESC LIMIT ${newestSteps}
  )`;

const ofKinds = `${recent}
  SELECT k.name, k.system, percentile_cont(0.5) WITHIN GROUP (ORDER BY r.seconds) AS seconds
    FROM (SELECT DISTINCT name, system FROM unnest($1::text[], $2::text[]) AS i(name, system)) k
    JOIN recent r ON r.name = k.name AND r.system = k.system
   GROUP BY k.name, k.system`;

const ofAll = `${recent}
  SELECT name, system, percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds) AS seconds
    FROM recent WHERE name IS NOT NULL AND system IS NOT NULL
   GROUP BY name, system`;

interface Usual extends StepKind {
  readonly seconds: number;
}

/** Median seconds by `system/name`; kinds without a recent success are absent. */
export async function stepDurations(
  session: Session,
  steps: readonly StepKind[],
): Promise<Map<string, number>> {
  const durations = new Map<string, number>();
  if (steps.length === 0) return durations;
  const { rows } = await session.query<Usual>(ofKinds, [
    steps.map((step) => step.name),
    steps.map((step) => step.system),
  ]);
  note(durations, rows);
  return durations;
}

/** Rows of one answer: few enough that taking them over does not hold up anything else. */
const part = 1_000;

/** As `stepDurations`, of all kinds: of 50,000 at most. */
export async function allStepDurations(transaction: Transaction): Promise<Map<string, number>> {
  const durations = new Map<string, number>();
  await transaction.query(`DECLARE durations NO SCROLL CURSOR FOR ${ofAll}`);
  for (;;) {
    const { rows } = await transaction.query<Usual>(`FETCH ${part} FROM durations`);
    note(durations, rows);
    if (rows.length < part) return durations;
  }
}

function note(durations: Map<string, number>, rows: readonly Usual[]): void {
  for (const { system, name, seconds } of rows) durations.set(`${system}/${name}`, seconds);
}
