/** Rows of BuildSteps and BuildStepOutputs: inserting, progress, ending. */
import { fittingTime } from "../fitting-time.js";
import { prepared } from "../prepared.js";
import { type StepStatus, type StepType, stepStatus } from "../status-numbers.js";
import { integer, type SqlRow, type SqlSession } from "./session.js";
import { maxErrorText, maxPlainText, storableText, toOverhead } from "./values.js";

/** One output of a step. */
export interface OutputPath {
  readonly name: string;
  /** Full path; undefined while only the build can tell. */
  readonly path: string | undefined;
}

/** Names one row. */
export interface StepKey {
  readonly build: number;
  readonly stepNumber: number;
}

/** A row of `buildsteps` with its outputs. */
export interface NewStepRow extends StepKey {
  readonly type: StepType;
  /** Full path. */
  readonly drvPath: string;
  readonly busy: number;
  /** Absent while the step runs. */
  readonly status?: StepStatus | undefined;
  /** Seconds; absent for steps that never ran. */
  readonly startTime?: number | undefined;
  readonly stopTime?: number | undefined;
  readonly system?: string | undefined;
  /** Host name, or empty. */
  readonly machine: string;
  readonly error?: string | undefined;
  readonly propagatedFrom?: number | undefined;
  /** Base name, exactly with status `resolved`. */
  readonly resolvedDrvPath?: string | undefined;
  readonly outputs: readonly OutputPath[];
}

/** What became of a row that was to be inserted. */
export type Insertion =
  /** Inserted now, with its outputs. */
  | "written"
  /** There already: an earlier try of the same transaction was committed after all. */
  | "present"
  /** The number belongs to a row of another writer. */
  | "taken"
  /** The build was deleted. */
  | "gone";

const inputColumns =
  "unnest($1::int[], $2::int[], $3::int[], $4::text[], $5::int[], $6::int[], $7::bigint[], $8::bigint[], $9::text[]," +
  " $10::text[], $11::int[], $12::int[], $13::text[])" +
  " AS i(build, stepnr, type, drvpath, busy, status, starttime, stoptime, system, machine, errornr, propagatedfrom," +
  " resolveddrvpath)";

const fittingStart = fittingTime("buildsteps.starttime", "i.starttime");
const fittingStop = fittingTime("buildsteps.stoptime", "i.stoptime");

const insertStatement = prepared(
  `WITH input AS (SELECT * FROM ${inputColumns}), written AS (` +
    " INSERT INTO buildsteps (build, stepnr, type, drvpath, busy, status, starttime, stoptime, system, machine," +
    " errormsg, propagatedfrom, resolveddrvpath)" +
    ` SELECT i.build, i.stepnr, i.type, i.drvpath, i.busy, i.status, ${fittingStart}, ${fittingStop}, i.system, i.machine,` +
    " ($18::text[])[i.errornr], p.id, i.resolveddrvpath" +
    " FROM input i JOIN builds b ON b.id = i.build LEFT JOIN builds p ON p.id = i.propagatedfrom" +
    " ORDER BY i.build, i.stepnr" +
    " ON CONFLICT (build, stepnr) DO NOTHING RETURNING build, stepnr" +
    "), outputs AS (" +
    " INSERT INTO buildstepoutputs (build, stepnr, name, path)" +
    " SELECT o.build, o.stepnr, o.name, o.path" +
    " FROM unnest($14::int[], $15::int[], $16::text[], $17::text[]) AS o(build, stepnr, name, path)" +
    " JOIN written w ON w.build = o.build AND w.stepnr = o.stepnr" +
    ") SELECT build, stepnr FROM written",
);

const classifyStatement =
  "SELECT i.build, i.stepnr, b.id IS NULL AS gone," +
  ` coalesce(s.drvpath = i.drvpath AND s.type = i.type AND s.starttime IS NOT DISTINCT FROM ${fittingStart}, false) AS same` +
  " FROM unnest($1::int[], $2::int[], $3::int[], $4::text[], $5::bigint[]) AS i(build, stepnr, type, drvpath, starttime)" +
  " LEFT JOIN builds b ON b.id = i.build" +
  " LEFT JOIN buildsteps s ON s.build = i.build AND s.stepnr = i.stepnr";

const keyOf = (build: number, stepNumber: number): string => `${build}/${stepNumber}`;
const keyOfRow = (row: SqlRow): string => keyOf(integer(row, "build"), integer(row, "stepnr"));

/** Inserts step rows and their outputs; answers in the order of `rows`. */
export async function insertSteps(session: SqlSession, rows: readonly NewStepRow[]): Promise<Insertion[]> {
  if (rows.length === 0) return [];
  const outputs = rows.flatMap((row) => row.outputs.map((output) => ({ row, output })));
  // Thousands of rows may share a long message, which is sent once.
  const errors = new Map<string, number>();
  for (const { error } of rows) {
    if (error !== undefined && !errors.has(error)) errors.set(error, errors.size + 1);
  }
  const inserted = await session.query(insertStatement, [
    rows.map((row) => row.build),
    rows.map((row) => row.stepNumber),
    rows.map((row) => row.type),
    rows.map((row) => row.drvPath),
    rows.map((row) => row.busy),
    rows.map((row) => row.status ?? null),
    rows.map((row) => row.startTime ?? null),
    rows.map((row) => row.stopTime ?? null),
    rows.map((row) => (row.system === undefined ? null : storableText(row.system, maxPlainText))),
    rows.map((row) => storableText(row.machine, maxPlainText)),
    rows.map((row) => (row.error === undefined ? null : (errors.get(row.error) ?? null))),
    rows.map((row) => row.propagatedFrom ?? null),
    rows.map((row) => row.resolvedDrvPath ?? null),
    outputs.map(({ row }) => row.build),
    outputs.map(({ row }) => row.stepNumber),
    outputs.map(({ output }) => output.name),
    outputs.map(({ output }) => output.path ?? null),
    [...errors.keys()].map((error) => storableText(error, maxErrorText)),
  ]);
  const written = new Set(inserted.rows.map((row) => keyOfRow(row)));
  const insertions = rows.map((row): Insertion | undefined =>
    written.has(keyOf(row.build, row.stepNumber)) ? "written" : undefined,
  );
  if (written.size === rows.length) return insertions.map((insertion) => insertion ?? "taken");
  const rest = rows.filter((_, index) => insertions[index] === undefined);
  const classified = await session.query(classifyStatement, [
    rest.map((row) => row.build),
    rest.map((row) => row.stepNumber),
    rest.map((row) => row.type),
    rest.map((row) => row.drvPath),
    rest.map((row) => row.startTime ?? null),
  ]);
  const found = new Map(classified.rows.map((row) => [keyOfRow(row), row]));
  return rows.map((row, index): Insertion => {
    const known = insertions[index];
    if (known !== undefined) return known;
    const state = found.get(keyOf(row.build, row.stepNumber));
    if (state?.gone === true) return "gone";
    return state?.same === true ? "present" : "taken";
  });
}

/** Progress of running steps. Never touches a row that has ended and never goes back. */
export async function setBusy(
  session: SqlSession,
  steps: readonly (StepKey & { readonly busy: number })[],
): Promise<void> {
  if (steps.length === 0) return;
  await session.query(
    "UPDATE buildsteps s SET busy = i.busy FROM unnest($1::int[], $2::int[], $3::int[]) AS i(build, stepnr, busy)" +
      " WHERE s.build = i.build AND s.stepnr = i.stepnr AND s.busy <> 0 AND s.status IS NULL AND s.busy < i.busy",
    [steps.map((step) => step.build), steps.map((step) => step.stepNumber), steps.map((step) => step.busy)],
  );
}

/** The end of a running step, as its row shows it. */
export interface StepEnd extends StepKey {
  readonly status: StepStatus;
  readonly error: string | undefined;
  /** Seconds. */
  readonly startTime: number;
  /** Seconds. */
  readonly stopTime: number;
  readonly machine: string;
  readonly overheadMs: number;
  /** Filled in on success. */
  readonly outputs: readonly OutputPath[];
}

// With their outputs, as a build that is alone waits for each statement.
const endStatement = prepared(
  `WITH ended AS (UPDATE buildsteps s SET busy = 0, status = i.status, errormsg = i.errormsg, starttime = ${fittingStart},` +
    ` stoptime = ${fittingStop}, machine = i.machine, overhead = i.overhead` +
    " FROM unnest($1::int[], $2::int[], $3::int[], $4::text[], $5::bigint[], $6::bigint[], $7::text[], $8::int[])" +
    " AS i(build, stepnr, status, errormsg, starttime, stoptime, machine, overhead)" +
    " WHERE s.build = i.build AND s.stepnr = i.stepnr AND s.busy <> 0 RETURNING s.build, s.stepnr" +
    "), outputs AS (UPDATE buildstepoutputs o SET path = i.path" +
    " FROM unnest($9::int[], $10::int[], $11::text[], $12::text[]) AS i(build, stepnr, name, path)" +
    " JOIN ended e ON e.build = i.build AND e.stepnr = i.stepnr" +
    " WHERE o.build = i.build AND o.stepnr = i.stepnr AND o.name = i.name AND o.path IS DISTINCT FROM i.path" +
    ") SELECT build, stepnr FROM ended",
);

/** Ends running steps; returns the keys of those that were still running. */
export async function endSteps(session: SqlSession, ends: readonly StepEnd[]): Promise<StepKey[]> {
  if (ends.length === 0) return [];
  const outputs = ends
    .filter((end) => end.status === stepStatus.succeeded)
    .flatMap((end) => end.outputs.map((output) => ({ end, output })));
  const ended = await session.query(endStatement, [
    ends.map((end) => end.build),
    ends.map((end) => end.stepNumber),
    ends.map((end) => end.status),
    ends.map((end) => (end.error === undefined ? null : storableText(end.error, maxErrorText))),
    ends.map((end) => end.startTime),
    ends.map((end) => end.stopTime),
    ends.map((end) => storableText(end.machine, maxPlainText)),
    ends.map((end) => toOverhead(end.overheadMs)),
    outputs.map(({ end }) => end.build),
    outputs.map(({ end }) => end.stepNumber),
    outputs.map(({ output }) => output.name),
    outputs.map(({ output }) => output.path ?? null),
  ]);
  const keys = new Set(ended.rows.map((row) => keyOfRow(row)));
  return ends
    .filter((end) => keys.has(keyOf(end.build, end.stepNumber)))
    .map(({ build, stepNumber }) => ({ build, stepNumber }));
}

/** Closes a row whose attempt came to nothing; the start and the message stay as they are. */
export async function closeOrphan(
  session: SqlSession,
  key: StepKey,
  status: StepStatus,
  stopTime: number,
): Promise<void> {
  await session.query(
    `UPDATE buildsteps SET busy = 0, status = $3, stoptime = ${fittingTime("buildsteps.stoptime", "$4::bigint")}` +
      " WHERE build = $1 AND stepnr = $2 AND busy <> 0",
    [key.build, key.stepNumber, status, stopTime],
  );
}

/**
 * Closes every running row but those in `keep` as aborted with stop time 0, the mark of a runner that died.
 * Returns how many there were.
 */
export async function clearBusySteps(session: SqlSession, keep: readonly StepKey[]): Promise<number> {
  const cleared = await session.query(
    `UPDATE buildsteps s SET busy = 0, status = ${stepStatus.aborted}, stoptime = 0 WHERE s.busy <> 0 AND NOT EXISTS` +
      " (SELECT 1 FROM unnest($1::int[], $2::int[]) AS k(build, stepnr) WHERE k.build = s.build AND k.stepnr = s.stepnr)",
    [keep.map((key) => key.build), keep.map((key) => key.stepNumber)],
  );
  return cleared.rowCount ?? 0;
}

/** Full paths of the derivations that rows say are running. */
export async function busyDerivations(session: SqlSession): Promise<string[]> {
  const { rows } = await session.query(
    "SELECT DISTINCT drvpath FROM buildsteps WHERE busy <> 0 AND drvpath IS NOT NULL",
  );
  return rows.map((row) => String(row.drvpath));
}

/**
 * Whether a row of the derivation (full path) says that `machine` is building it, or that it was when a runner stopped or
 * lost sight of it.
 */
export async function isOrWasRunning(
  session: SqlSession,
  drvPath: string,
  machine: string,
): Promise<boolean> {
  const { rows } = await session.query(
    "SELECT 1 AS found FROM buildsteps WHERE drvpath = $1 AND machine = $2" +
      ` AND (busy <> 0 OR status = ${stepStatus.aborted}) LIMIT 1`,
    [drvPath, storableText(machine, maxPlainText)],
  );
  return rows.length > 0;
}
