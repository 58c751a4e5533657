/** Whether a build is there, and whether it waits for its result. */
import { and, eq } from "drizzle-orm";
import { drizzleOn } from "../drizzle-session.js";
import { builds } from "../schema/builds.js";
import type { Session } from "../session.js";

/** Whether the build exists and is not finished. */
export async function isBuildActive(session: Session, id: number): Promise<boolean> {
  const rows = await drizzleOn(session)
    .select({ id: builds.id })
    .from(builds)
    .where(and(eq(builds.id, id), eq(builds.finished, 0)));
  return rows.length > 0;
}

/** Whether there is a build with this id. */
export async function buildExists(session: Session, id: number): Promise<boolean> {
  const rows = await drizzleOn(session).select({ id: builds.id }).from(builds).where(eq(builds.id, id));
  return rows.length > 0;
}
