/** What the pages of the status API show of the past: attempts, their numbers and their errors. */
import type { Session } from "../session.js";
import { stepStatus, stepType } from "../status-numbers.js";

/** Steps that ended in one minute. */
export interface MinuteRow {
  /** Unix seconds: begin of the minute. */
  readonly at: number;
  readonly done: number;
  readonly failed: number;
}

/** The last second that today's schema knows. */
const latest = 2 ** 31 - 1;

/** Steps by the minute in which they ended, from `since` to before `until` (Unix seconds); minutes without any are absent. */
export async function endedSteps(
  session: Session,
  since: number,
  until: number,
): Promise<readonly MinuteRow[]> {
  const { rows } = await session.query<MinuteRow>(
    `SELECT (stoptime / 60) * 60 AS at,
            (count(*) FILTER (WHERE status = ${stepStatus.succeeded}))::int AS done,
            (count(*) FILTER (WHERE status <> ${stepStatus.succeeded}))::int AS failed
       FROM buildsteps
      WHERE starttime IS NOT NULL AND stoptime IS NOT NULL AND stoptime >= $1 AND stoptime < $2 AND type = ${stepType.build}
        AND busy = 0 AND status NOT IN (${stepStatus.aborted}, ${stepStatus.cancelled}, ${stepStatus.resolved})
        AND propagatedfrom IS NULL
      GROUP BY 1`,
    [since, until],
  );
  return rows;
}

/** Which attempts are asked for. Unix seconds. */
export interface AttemptRange {
  readonly from: number;
  readonly to: number;
  readonly build?: number | undefined;
  readonly machine?: string | undefined;
  readonly limit: number;
}

/** An attempt at a derivation. Unix seconds. */
export interface AttemptRow {
  readonly drvPath: string;
  readonly build: number;
  readonly stepNumber: number;
  readonly job: string;
  /** From 1: which attempt at the derivation it was, over all builds. */
  readonly try: number;
  readonly machine: string;
  readonly system: string | null;
  readonly startTime: number;
  readonly stopTime: number | null;
  readonly status: number | null;
  readonly error: string | null;
}

/** Rows that stand for an attempt on a machine. */
const isAttempt = (s: string): string =>
  `${s}.type = ${stepType.build} AND ${s}.propagatedfrom IS NULL AND ${s}.starttime > 0 AND ${s}.machine <> ''`;

const attemptColumns = `s.drvpath AS "drvPath", s.build, s.stepnr AS "stepNumber", b.job, s.machine, s.system, s.starttime AS "startTime",
  CASE WHEN s.busy = 0 THEN s.stoptime END AS "stopTime", CASE WHEN s.busy = 0 THEN s.status END AS status, s.errormsg AS error,
  (SELECT count(*) FROM buildsteps e WHERE e.drvpath = s.drvpath AND ${isAttempt("e")}
      AND (e.starttime, e.build, e.stepnr) <= (s.starttime, s.build, s.stepnr))::int AS try`;

/** The newest attempts that ran at some time in a span, those that still run first. */
export async function attempts(session: Session, range: AttemptRange): Promise<readonly AttemptRow[]> {
  const { from, to, build, machine, limit } = range;
  // Columns of 32 bits cannot be compared with more.
  const values: unknown[] = [Math.min(from, latest), Math.min(to, latest), limit];
  let filter = "";
  if (build !== undefined) filter += ` AND s.build = $${values.push(build)}`;
  if (machine !== undefined) filter += ` AND s.machine = $${values.push(machine)}`;
  // Two indexes: one has the steps that run, one those that have ended.
  const part = (condition: string, order: string): string =>
    `(SELECT s.* FROM buildsteps s WHERE ${isAttempt("s")} AND ${condition} AND s.starttime <= $2${filter} ORDER BY ${order} LIMIT $3)`;
  const { rows } = await session.query<AttemptRow>(
    `SELECT ${attemptColumns} FROM (
       ${part("s.busy <> 0 AND $1::int IS NOT NULL", "s.starttime DESC")} UNION ALL
       ${part("s.busy = 0 AND s.starttime IS NOT NULL AND s.stoptime IS NOT NULL AND s.stoptime >= $1::int", "s.stoptime DESC")}) s
      JOIN builds b ON b.id = s.build ORDER BY s.busy DESC, s.stoptime DESC, s.starttime DESC LIMIT $3`,
    values,
  );
  return rows;
}

/** The newest attempts at a derivation, in all builds. */
export async function attemptsAt(
  session: Session,
  drvPath: string,
  limit: number,
): Promise<readonly AttemptRow[]> {
  const { rows } = await session.query<AttemptRow>(
    `SELECT ${attemptColumns} FROM buildsteps s JOIN builds b ON b.id = s.build
      WHERE s.drvpath = $1 AND ${isAttempt("s")} ORDER BY s.starttime DESC, s.build DESC, s.stepnr DESC LIMIT $2`,
    [drvPath, limit],
  );
  return rows;
}

/** A build by its names. */
export interface NamedBuildRow {
  readonly id: number;
  readonly project: string;
  readonly jobset: string;
  readonly job: string;
  readonly drvPath: string;
}

/** A build, its outputs and products. Unix seconds, full paths. */
export interface BuildPageRow extends NamedBuildRow {
  readonly system: string;
  readonly finished: number;
  readonly status: number | null;
  readonly cached: number | null;
  readonly priority: number;
  readonly globalPriority: number;
  readonly queuedAt: number;
  readonly startTime: number | null;
  readonly stopTime: number | null;
  readonly outputs: readonly OutputRow[];
  readonly products: readonly ProductRow[];
}

/** An output of a build or step. */
export interface OutputRow {
  readonly name: string;
  readonly path: string | null;
}

/** A product of a build. */
export interface ProductRow {
  readonly type: string;
  readonly subtype: string;
  readonly name: string;
  readonly path: string | null;
  readonly size: number | null;
}

const named = `b.id, j.project, j.name AS jobset, b.job, b.drvpath AS "drvPath"`;

/** Undefined: there is no such build. */
export async function buildPage(session: Session, id: number): Promise<BuildPageRow | undefined> {
  const { rows } = await session.query<Omit<BuildPageRow, "outputs" | "products">>(
    `SELECT ${named}, b.system, b.finished, b.buildstatus AS status, b.iscachedbuild AS cached, b.priority,
            b.globalpriority AS "globalPriority", b.timestamp AS "queuedAt", b.starttime AS "startTime", b.stoptime AS "stopTime"
       FROM builds b JOIN jobsets j ON j.id = b.jobset_id WHERE b.id = $1`,
    [id],
  );
  const [row] = rows;
  if (row === undefined) return undefined;
  const { rows: outputs } = await session.query<OutputRow>(
    "SELECT name, path FROM buildoutputs WHERE build = $1 ORDER BY name",
    [id],
  );
  const { rows: products } = await session.query<ProductRow>(
    "SELECT type, subtype, name, path, filesize AS size FROM buildproducts WHERE build = $1 ORDER BY productnr LIMIT 500",
    [id],
  );
  return { ...row, outputs, products };
}

/** A step of a build that has ended. Unix seconds. */
export interface EndedStepRow {
  readonly drvPath: string;
  readonly status: number;
  readonly machine: string;
  readonly startTime: number | null;
  readonly stopTime: number | null;
  readonly error: string | null;
}

/** The last row of each derivation of a build that has ended, those that failed first. */
export async function stepsOfBuild(
  session: Session,
  build: number,
  limit: number,
): Promise<readonly EndedStepRow[]> {
  const { rows } = await session.query<EndedStepRow>(
    `SELECT * FROM (
       SELECT DISTINCT ON (drvpath) drvpath AS "drvPath", status, machine, starttime AS "startTime",
              stoptime AS "stopTime", errormsg AS error
         FROM buildsteps WHERE build = $1 AND busy = 0 AND status IS NOT NULL ORDER BY drvpath, stepnr DESC) s
      ORDER BY (status IN (${stepStatus.succeeded}, ${stepStatus.resolved})), "stopTime" DESC LIMIT $2`,
    [build, limit],
  );
  return rows;
}

/** Outputs of the newest step of a derivation that succeeded. */
export async function stepOutputs(session: Session, drvPath: string): Promise<readonly OutputRow[]> {
  const { rows } = await session.query<OutputRow>(
    `SELECT o.name, o.path FROM buildstepoutputs o JOIN (
       SELECT build, stepnr FROM buildsteps WHERE drvpath = $1 AND busy = 0 AND status = ${stepStatus.succeeded}
        ORDER BY build DESC, stepnr DESC LIMIT 1) s ON s.build = o.build AND s.stepnr = o.stepnr ORDER BY o.name`,
    [drvPath],
  );
  return rows;
}

/** Builds whose derivation has a text in its path, newest first. The index on it needs three characters. */
export async function findBuilds(
  session: Session,
  text: string,
  limit: number,
): Promise<readonly NamedBuildRow[]> {
  const pattern = `%${text.replaceAll(/[\\%_]/g, "\\$&")}%`;
  const { rows } = await session.query<NamedBuildRow>(
    `SELECT ${named} FROM builds b JOIN jobsets j ON j.id = b.jobset_id
      WHERE b.drvpath LIKE $1 ORDER BY b.id DESC LIMIT $2`,
    [pattern, limit],
  );
  return rows;
}

/** Number of attempts at each derivation, by full path; those without any are absent. */
export async function attemptCounts(
  session: Session,
  drvPaths: readonly string[],
): Promise<Map<string, number>> {
  const { rows } = await session.query<{ drvPath: string; tries: number }>(
    `SELECT s.drvpath AS "drvPath", count(*)::int AS tries FROM buildsteps s
      WHERE s.drvpath = ANY($1::text[]) AND ${isAttempt("s")} GROUP BY s.drvpath`,
    [drvPaths],
  );
  return new Map(rows.map(({ drvPath, tries }) => [drvPath, tries]));
}

/** A build that ended, and the last attempt at its own derivation. */
export interface ResultRow extends NamedBuildRow {
  readonly status: number;
  readonly cached: boolean;
  /** Unix seconds. */
  readonly stopTime: number;
  /** Seconds that the attempt took; null without one. */
  readonly seconds: number | null;
  readonly machine: string | null;
}

/** The builds that ended last, newest first; by the index of `finished` and `stoptime`. */
export async function lastResults(session: Session, limit: number): Promise<readonly ResultRow[]> {
  const { rows } = await session.query<ResultRow>(
    `SELECT ${named}, b.buildstatus AS status, coalesce(b.iscachedbuild, 0) <> 0 AS cached, b.stoptime AS "stopTime",
            s.stoptime - s.starttime AS seconds, s.machine
       FROM (SELECT * FROM builds WHERE finished = 1 AND stoptime IS NOT NULL AND buildstatus IS NOT NULL
              ORDER BY stoptime DESC LIMIT $1) b
       JOIN jobsets j ON j.id = b.jobset_id
       LEFT JOIN LATERAL (SELECT * FROM buildsteps s WHERE s.build = b.id AND s.drvpath = b.drvpath AND s.busy = 0
              AND ${isAttempt("s")} ORDER BY s.stepnr DESC LIMIT 1) s ON true
      ORDER BY b.stoptime DESC, b.id DESC`,
    [limit],
  );
  return rows;
}

/** Why builds failed: the message of their last step that did. */
export async function buildErrors(session: Session, builds: readonly number[]): Promise<Map<number, string>> {
  const { rows } = await session.query<{ build: number; error: string }>(
    `SELECT DISTINCT ON (build) build, errormsg AS error FROM buildsteps
      WHERE build = ANY($1::int[]) AND busy = 0 AND status <> ${stepStatus.succeeded} AND errormsg <> ''
      ORDER BY build, stepnr DESC`,
    [builds],
  );
  return new Map(rows.map(({ build, error }) => [build, error]));
}
