/** What was built in a span of time: for traces. */
import type { Session } from "../session.js";
import { stepStatus, stepType } from "../status-numbers.js";

/** A build that ended in the span. Times in Unix seconds, paths in full. */
export interface EndedBuild {
  readonly id: number;
  readonly drvPath: string;
  readonly project: string;
  readonly jobset: string;
  readonly shares: number;
  /** When it was queued. */
  readonly timestamp: number;
  readonly globalPriority: number;
  readonly localPriority: number;
}

/** The newest successful step of a derivation in the span. */
export interface EndedStep {
  readonly drvPath: string;
  readonly system: string;
  readonly machine: string;
  readonly startTime: number;
  readonly stopTime: number;
}

/** Builds and steps of a span of time. */
export interface BuildHistory {
  /** In the order in which they were queued. */
  readonly builds: readonly EndedBuild[];
  readonly steps: readonly EndedStep[];
}

const buildStatement = `
  SELECT b.id, b.drvpath AS "drvPath", j.project, j.name AS jobset, j.schedulingshares AS shares,
         b.timestamp::int AS timestamp, b.globalpriority AS "globalPriority", b.priority AS "localPriority"
    FROM builds b JOIN jobsets j ON j.id = b.jobset_id
   WHERE b.finished = 1 AND b.stoptime >= $1::bigint AND b.stoptime < $2::bigint
   ORDER BY b.timestamp, b.id`;

const stepStatement = `
  SELECT DISTINCT ON (drvpath) drvpath AS "drvPath", coalesce(system, '') AS system, machine,
         starttime::int AS "startTime", stoptime::int AS "stopTime"
    FROM buildsteps
   WHERE type = ${stepType.build} AND status = ${stepStatus.succeeded} AND drvpath IS NOT NULL
     AND starttime > 0 AND stoptime >= starttime AND stoptime >= $1::bigint AND stoptime < $2::bigint
   ORDER BY drvpath, stoptime DESC`;

/** What ended at or after `since` and before `until` (Unix seconds). Neither is indexed in Hydra's schema: seconds. */
export async function buildHistory(session: Session, since: number, until: number): Promise<BuildHistory> {
  const { rows: builds } = await session.query<EndedBuild>(buildStatement, [since, until]);
  const { rows: steps } = await session.query<EndedStep>(stepStatement, [since, until]);
  return { builds, steps };
}
