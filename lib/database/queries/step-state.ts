/** What the rows know of a derivation that is not in the scheduler. */
import type { Session } from "../session.js";

/** How an attempt at a derivation ended. */
export interface StepState {
  /** `buildsteps.status`; rows of other programs may hold numbers that {@link stepStatus} does not name. */
  readonly status: number;
  /** When it ended; undefined for steps without times. */
  readonly at: number | undefined;
}

/** The newest attempt at a derivation that ended, in any build; undefined when there is none. */
export async function stepState(session: Session, drvPath: string): Promise<StepState | undefined> {
  const { rows } = await session.query<{ status: number; stoptime: number | null }>(
    "SELECT status, stoptime FROM buildsteps WHERE drvpath = $1 AND busy = 0 AND status IS NOT NULL" +
      " ORDER BY build DESC, stepnr DESC LIMIT 1",
    [drvPath],
  );
  const row = rows[0];
  if (row === undefined) return undefined;
  return { status: row.status, at: row.stoptime === null || row.stoptime === 0 ? undefined : row.stoptime };
}
