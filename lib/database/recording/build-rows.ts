/** Rows of Builds and of what belongs to a result: outputs, products, metrics. */

import { fittingTime } from "../fitting-time.js";
import { prepared } from "../prepared.js";
import type { BuildStatus } from "../status-numbers.js";
import { integer, type SqlSession } from "./session.js";
import type { OutputPath } from "./step-rows.js";
import { maxIndexedText, maxPlainText, storableText, toBigint } from "./values.js";

/** A row of `buildproducts`, without its number. */
export interface ProductRow {
  readonly type: string;
  readonly subtype: string;
  readonly fileSize: number | undefined;
  readonly sha256: string | undefined;
  /** Full path. */
  readonly path: string;
  readonly name: string;
  readonly defaultPath: string;
}

/** A row of `buildmetrics`. */
export interface MetricRow {
  readonly name: string;
  readonly unit: string | undefined;
  readonly value: number;
}

/** What a successful build brought. */
export interface BuildResult {
  readonly size: number;
  readonly closureSize: number;
  readonly releaseName: string | undefined;
  readonly outputs: readonly OutputPath[];
  readonly products: readonly ProductRow[];
  readonly metrics: readonly MetricRow[];
}

/** The end of a build, as its row shows it. Times are Unix seconds. */
export interface BuildEnd {
  readonly id: number;
  readonly status: BuildStatus;
  /** Seconds. */
  readonly startTime: number;
  /** Seconds. */
  readonly stopTime: number;
  readonly cached: boolean;
  /** Absent for failures, which leave earlier figures alone. */
  readonly result?: BuildResult | undefined;
}

/** How a build stands when its row is locked. */
export type LockedBuild = { readonly finished: false } | { readonly finished: true; readonly status: number };

// NO KEY: others may go on inserting rows that refer to the builds.
const lockStatement = prepared(
  "SELECT id, finished, buildstatus FROM builds WHERE id = ANY($1::int[]) ORDER BY id FOR NO KEY UPDATE",
);

/**
 * Locks builds in the order of their ids (as the evaluator does). Deleted ones are absent; those that another writer
 * finished (a cancel, say) come with their status.
 */
export async function lockBuilds(
  session: SqlSession,
  ids: readonly number[],
): Promise<Map<number, LockedBuild>> {
  if (ids.length === 0) return new Map();
  const locked = await session.query(lockStatement, [ids]);
  return new Map(
    locked.rows.map((row): [number, LockedBuild] => [
      integer(row, "id"),
      integer(row, "finished") === 0
        ? { finished: false }
        : { finished: true, status: integer(row, "buildstatus") },
    ]),
  );
}

const fittingStart = fittingTime("builds.starttime", "i.starttime");
const fittingStop = fittingTime("builds.stoptime", "i.stoptime");
const pendingSince = fittingTime("builds.notificationpendingsince", "i.stoptime");

// The sum keeps a plan from walking the index of unfinished builds, which was short when the plan was made.
const endStatement = prepared(
  `UPDATE builds b SET finished = 1, buildstatus = i.status, starttime = ${fittingStart}, stoptime = ${fittingStop},` +
    ` iscachedbuild = i.cached, notificationpendingsince = ${pendingSince},` +
    " size = CASE WHEN i.success THEN i.size ELSE b.size END," +
    " closuresize = CASE WHEN i.success THEN i.closuresize ELSE b.closuresize END," +
    " releasename = CASE WHEN i.success THEN i.releasename ELSE b.releasename END" +
    " FROM unnest($1::int[], $2::int[], $3::bigint[], $4::bigint[], $5::int[], $6::bool[], $7::bigint[], $8::bigint[]," +
    " $9::text[]) AS i(id, status, starttime, stoptime, cached, success, size, closuresize, releasename)" +
    " WHERE b.id = i.id AND b.finished + 0 = 0",
);

/** Ends builds that `lockBuilds` found unfinished. */
export async function endBuilds(session: SqlSession, ends: readonly BuildEnd[]): Promise<void> {
  if (ends.length === 0) return;
  const values = [
    ends.map((end) => end.id),
    ends.map((end) => end.status),
    ends.map((end) => end.startTime),
    ends.map((end) => end.stopTime),
    ends.map((end) => (end.cached ? 1 : 0)),
    ends.map((end) => end.result !== undefined),
    ends.map((end) => toBigint(end.result?.size ?? 0)),
    ends.map((end) => toBigint(end.result?.closureSize ?? 0)),
    ends.map((end) => releaseName(end.result?.releaseName)),
  ];
  const successes = ends.flatMap(({ id, result }) => (result === undefined ? [] : [{ id, result }]));
  await Promise.all([
    ...writeResults(session, successes),
    // Last, and in one statement: from here on the counter of finished builds is locked until the commit.
    session.query(endStatement, values),
  ]);
}

/** No release name is NULL, never the empty text: the front-end prefers it over the name of the derivation. */
function releaseName(name: string | undefined): string | null {
  const text = storableText(name ?? "", maxPlainText);
  return text === "" ? null : text;
}

type Success = { readonly id: number; readonly result: BuildResult };

/** Statements that are under way, in the order in which they were sent. */
function writeResults(session: SqlSession, successes: readonly Success[]): Promise<void>[] {
  if (successes.length === 0) return [];
  const metrics = successes.flatMap(metricRows);
  return [
    // Renaming a project rewrites the metrics of its builds, so it must not come between our two statements on them.
    ...(metrics.length > 0 ? [lockNames(session, successes)] : []),
    replaceEarlierRun(session, successes),
    insertProducts(session, successes),
    insertMetrics(session, metrics),
  ];
}

// One statement, as a build that is alone waits for each.
const replaceStatement = prepared(
  "WITH outputs AS (UPDATE buildoutputs o SET path = i.path" +
    " FROM unnest($1::int[], $2::text[], $3::text[]) AS i(build, name, path)" +
    " WHERE o.build = i.build AND o.name = i.name AND o.path IS DISTINCT FROM i.path)," +
    " products AS (DELETE FROM buildproducts WHERE build = ANY($4::int[]))" +
    " DELETE FROM buildmetrics WHERE build = ANY($4::int[])",
);

/** Outputs are there now; a build that was restarted still has the products and metrics of its last run. */
async function replaceEarlierRun(session: SqlSession, successes: readonly Success[]): Promise<void> {
  const outputs = successes.flatMap(({ id, result }) => result.outputs.map((output) => ({ id, output })));
  await session.query(replaceStatement, [
    outputs.map(({ id }) => id),
    outputs.map(({ output }) => output.name),
    outputs.map(({ output }) => output.path ?? null),
    successes.map(({ id }) => id),
  ]);
}

async function insertProducts(session: SqlSession, successes: readonly Success[]): Promise<void> {
  const rows = successes.flatMap(({ id, result }) =>
    result.products.map((product, index) => ({ id, number: index + 1, product })),
  );
  if (rows.length === 0) return;
  await session.query(
    "INSERT INTO buildproducts (build, productnr, type, subtype, filesize, sha256hash, path, name, defaultpath)" +
      " SELECT * FROM unnest($1::int[], $2::int[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::text[]," +
      " $8::text[], $9::text[])",
    [
      rows.map(({ id }) => id),
      rows.map(({ number }) => number),
      rows.map(({ product }) => storableText(product.type, maxIndexedText)),
      rows.map(({ product }) => storableText(product.subtype, maxPlainText)),
      rows.map(({ product }) => (product.fileSize === undefined ? null : toBigint(product.fileSize))),
      rows.map(({ product }) => product.sha256 ?? null),
      rows.map(({ product }) => storableText(product.path, maxPlainText)),
      rows.map(({ product }) => storableText(product.name, maxPlainText)),
      rows.map(({ product }) => storableText(product.defaultPath, maxPlainText)),
    ],
  );
}

interface BuildMetric {
  readonly id: number;
  readonly name: string;
  readonly metric: MetricRow;
}

function metricRows({ id, result }: Success): BuildMetric[] {
  // Names are unique for a build; cutting long ones may have made two of them equal.
  const byName = new Map<string, MetricRow>();
  for (const metric of result.metrics) byName.set(storableText(metric.name, maxIndexedText), metric);
  return [...byName].map(([name, metric]) => ({ id, name, metric }));
}

async function lockNames(session: SqlSession, successes: readonly Success[]): Promise<void> {
  await session.query(
    "SELECT 1 FROM projects p JOIN jobsets j ON j.project = p.name JOIN builds b ON b.jobset_id = j.id" +
      " WHERE b.id = ANY($1::int[]) ORDER BY p.name, j.name FOR KEY SHARE OF p, j",
    [successes.map(({ id }) => id)],
  );
}

async function insertMetrics(session: SqlSession, rows: readonly BuildMetric[]): Promise<void> {
  if (rows.length === 0) return;
  // The names of project and jobset come from the rows: they may have been renamed since the build was read.
  await session.query(
    "INSERT INTO buildmetrics (build, name, unit, value, project, jobset, job, timestamp)" +
      " SELECT b.id, i.name, i.unit, i.value, j.project, j.name, b.job, b.timestamp" +
      " FROM unnest($1::int[], $2::text[], $3::text[], $4::float8[]) AS i(build, name, unit, value)" +
      " JOIN builds b ON b.id = i.build JOIN jobsets j ON j.id = b.jobset_id",
    [
      rows.map(({ id }) => id),
      rows.map(({ name }) => name),
      rows.map(({ metric }) => (metric.unit === undefined ? null : storableText(metric.unit, maxPlainText))),
      rows.map(({ metric }) => metric.value),
    ],
  );
}

/** Remembers paths whose build failed for good. */
export async function rememberFailedPaths(session: SqlSession, paths: readonly string[]): Promise<void> {
  if (paths.length === 0) return;
  await session.query("INSERT INTO failedpaths (path) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING", [
    paths,
  ]);
}
