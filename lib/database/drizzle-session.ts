/** A session as drizzle wants it. Apart from `session.ts`, so that drizzle and its declarations load only where they are used. */
import { drizzle, type NodePgDatabase } from "drizzle-orm/node-postgres";
import { clientOf, type Session } from "./session.js";

const known = new WeakMap<Session, NodePgDatabase>();

/**
 * The same connection for queries built with drizzle; inside a transaction they are part of it.
 *
 * @throws UsageError for a session that no `HydraDatabase` made
 */
export function drizzleOn(session: Session): NodePgDatabase {
  let db = known.get(session);
  if (db === undefined) {
    db = drizzle({ client: clientOf(session) });
    known.set(session, db);
  }
  return db;
}
