/** Outputs whose derivation failed before. */
import { prepared } from "../prepared.js";
import type { Session } from "../session.js";

const statement = prepared("SELECT path FROM failedpaths WHERE path = ANY($1::text[])");

/** Those of the full paths that are remembered as failed. */
export async function failedPaths(session: Session, paths: readonly string[]): Promise<Set<string>> {
  if (paths.length === 0) return new Set();
  const { rows } = await session.query<{ path: string }>(statement, [paths]);
  return new Set(rows.map((row) => row.path));
}
