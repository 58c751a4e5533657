/** Tries at derivations that went wrong without being their fault, as far as the rows remember them. */
import { prepared } from "../prepared.js";
import type { Session } from "../session.js";
import { stepStatus, stepType } from "../status-numbers.js";

/** What earlier tries at a derivation came to. */
export interface EarlierTries {
  /** Tries that count. */
  readonly tries: number;
  /** When the last of them ended, in Unix seconds; undefined when none counts. */
  readonly endedAt: number | undefined;
  /** When a runner that stopped in order gave the step back, in Unix seconds. */
  readonly givenBackAt: number | undefined;
  /** A runner died while the step was running; a builder may still be building it. */
  readonly orphaned: boolean;
}

/** The message of a row whose attempt a runner gave back because it stopped. Such attempts do not count as tries. */
export const givenBackMessage = "the queue runner was stopped";

/** The message of a row whose order came too late for its machine. Such attempts do not count as tries either. */
export const machineLeftMessage = "the machine left";

const atOnce = 5_000;

// A runner that was killed is marked by the end 0, and its attempts do not count either. A build that was restarted
// keeps the time at which it ended before: what came until then does not concern it any more. The plan has to begin with
// the derivations, however short the queue was when it was made: hence the sum, which no index is for.
const statement = prepared(`
  WITH earlier AS (
    SELECT s.drvpath, s.stoptime, s.stoptime = 0 AS orphaned, s.errormsg IS NOT DISTINCT FROM $2 AS givenback,
           s.errormsg IS NOT DISTINCT FROM $3 AS neversent
      FROM buildsteps s JOIN builds b ON b.id = s.build
     WHERE s.drvpath = ANY($1::text[]) AND s.status = ${stepStatus.aborted} AND s.type = ${stepType.build} AND s.busy = 0 AND s.propagatedfrom IS NULL
       AND (s.stoptime > coalesce(b.stoptime, 0) OR s.stoptime = 0) AND b.finished + 0 = 0
  )
  SELECT drvpath, (count(*) FILTER (WHERE NOT givenback AND NOT orphaned AND NOT neversent))::int AS tries,
         max(stoptime) FILTER (WHERE NOT givenback AND NOT orphaned AND NOT neversent) AS endedat,
         max(stoptime) FILTER (WHERE givenback) AS givenbackat, bool_or(orphaned) AS orphaned
    FROM earlier GROUP BY drvpath`);

/** By full path; derivations without any such try are absent. Looks at unfinished builds only. */
export async function earlierTries(
  session: Session,
  drvPaths: readonly string[],
): Promise<Map<string, EarlierTries>> {
  const found = new Map<string, EarlierTries>();
  for (let from = 0; from < drvPaths.length; from += atOnce) {
    const { rows } = await session.query<{
      drvpath: string;
      tries: number;
      endedat: number | null;
      givenbackat: number | null;
      orphaned: boolean;
    }>(statement, [drvPaths.slice(from, from + atOnce), givenBackMessage, machineLeftMessage]);
    for (const row of rows) {
      found.set(row.drvpath, {
        tries: row.tries,
        endedAt: row.endedat ?? undefined,
        givenBackAt: row.givenbackat ?? undefined,
        orphaned: row.orphaned,
      });
    }
  }
  return found;
}
