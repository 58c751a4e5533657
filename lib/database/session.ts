/** What statements run on: the pool, or one connection inside a transaction. */
import type { Pool, PoolClient } from "pg";
import { UsageError } from "../errors.js";

/** The answer to one statement. */
export interface QueryResult<Row> {
  readonly rows: readonly Row[];
  /** Rows written, for statements that write. */
  readonly rowCount: number | null;
}

/** A connection to run statements on; `drizzleOn` gives it to drizzle. */
export interface Session {
  /** Runs one statement; parameters are plain values and arrays. 64-bit integers come back as numbers. */
  query<Row extends object>(text: string, values?: readonly unknown[]): Promise<QueryResult<Row>>;
}

/** A session whose statements are committed together or not at all. */
export type Transaction = Session;

class PgSession implements Session {
  readonly client: Pool | PoolClient;

  constructor(client: Pool | PoolClient) {
    this.client = client;
  }

  async query<Row extends object>(text: string, values: readonly unknown[] = []): Promise<QueryResult<Row>> {
    return this.client.query<Row>(text, [...values]);
  }
}

/** A session on the pool or on one of its connections. */
export function sessionOn(client: Pool | PoolClient): Session {
  return new PgSession(client);
}

/**
 * What a session runs its statements on.
 *
 * @throws UsageError for a session that no `HydraDatabase` made
 */
export function clientOf(session: Session): Pool | PoolClient {
  if (session instanceof PgSession) return session.client;
  throw new UsageError("not a session of a HydraDatabase");
}
