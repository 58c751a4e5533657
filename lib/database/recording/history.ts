/** Look-ups into earlier steps that decide what has to be written. */
import { stepStatus } from "../status-numbers.js";
import { integer, type SqlSession } from "./session.js";
import type { OutputPath } from "./step-rows.js";

/** Keys `drvPath^output` of the outputs whose path some step row tells already. */
export async function knownStepOutputs(
  session: SqlSession,
  drvPaths: readonly string[],
): Promise<Set<string>> {
  const found = await session.query(
    "SELECT DISTINCT s.drvpath, o.name FROM buildsteps s" +
      " JOIN buildstepoutputs o ON o.build = s.build AND o.stepnr = s.stepnr" +
      " WHERE s.drvpath = ANY($1::text[]) AND o.path IS NOT NULL",
    [drvPaths],
  );
  return new Set(found.rows.map((row) => `${String(row.drvpath)}^${String(row.name)}`));
}

/** Whether the build has a row which says that the derivation is built, or being built. */
export async function hasStepOf(session: SqlSession, build: number, drvPath: string): Promise<boolean> {
  const found = await session.query(
    `SELECT 1 FROM buildsteps WHERE build = $1 AND drvpath = $2 AND (busy <> 0 OR status = ${stepStatus.succeeded}) LIMIT 1`,
    [build, drvPath],
  );
  return found.rows.length > 0;
}

/** The newest other build in which the derivation, else one of its outputs, failed. */
export async function buildThatFailed(
  session: SqlSession,
  except: number,
  drvPath: string,
  outputs: readonly OutputPath[],
): Promise<number | undefined> {
  const ran = `s.status = ${stepStatus.failed} AND s.starttime <> 0 AND s.stoptime <> 0 AND s.build <> $1`;
  const found = await session.query(
    `SELECT coalesce((SELECT max(s.build) FROM buildsteps s WHERE s.drvpath = $2 AND ${ran}),` +
      " (SELECT max(s.build) FROM buildstepoutputs o" +
      " JOIN buildsteps s ON s.build = o.build AND s.stepnr = o.stepnr" +
      ` WHERE o.path = ANY($3::text[]) AND ${ran})) AS build`,
    [except, drvPath, outputs.flatMap((output) => (output.path === undefined ? [] : [output.path]))],
  );
  const [row] = found.rows;
  return row === undefined || row.build === null ? undefined : integer(row, "build");
}
