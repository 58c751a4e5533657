/** What statements run on: the pool, or one connection inside a transaction. */
import type { NodePgDatabase } from "drizzle-orm/node-postgres";
import type { Pool, PoolClient } from "pg";

/** The answer to one statement. */
export interface QueryResult<Row> {
  readonly rows: readonly Row[];
  /** Rows written, for statements that write. */
  readonly rowCount: number | null;
}

/** A connection to run statements on. */
export interface Session {
  /** Runs one statement; parameters are plain values and arrays. 64-bit integers come back as numbers. */
  query<Row extends object>(text: string, values?: readonly unknown[]): Promise<QueryResult<Row>>;
  /** The same connection for queries built with drizzle. */
  readonly db: NodePgDatabase;
}

/** A session whose statements are committed together or not at all. */
export type Transaction = Session;

type Drizzle = typeof import("drizzle-orm/node-postgres");

class PgSession implements Session {
  readonly #client: Pool | PoolClient;
  readonly #drizzle: Drizzle;
  #db: NodePgDatabase | undefined;

  constructor(client: Pool | PoolClient, drizzle: Drizzle) {
    this.#client = client;
    this.#drizzle = drizzle;
  }

  get db(): NodePgDatabase {
    this.#db ??= this.#drizzle.drizzle({ client: this.#client });
    return this.#db;
  }

  async query<Row extends object>(text: string, values: readonly unknown[] = []): Promise<QueryResult<Row>> {
    return this.#client.query<Row>(text, [...values]);
  }
}

/** A session on the pool or on one of its connections. The first one loads drizzle. */
export async function sessionOn(client: Pool | PoolClient): Promise<Session> {
  return new PgSession(client, await import("drizzle-orm/node-postgres"));
}
