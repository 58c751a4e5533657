/** What statements run on: the pool, or one connection inside a transaction. */
import type { Pool, PoolClient } from "pg";
import { UsageError } from "../errors.js";
import type { PreparedStatements } from "./prepared.js";

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

/**
 * A session whose statements are committed together or not at all. Those that are not waited for one by one leave together
 * and run in the order in which they were sent; the first that fails is the reason for the others. After the end of its
 * transaction it throws a `UsageError`.
 */
export type Transaction = Session;

class PgSession implements Session, Disposable {
  readonly client: Pool | PoolClient;
  readonly #prepared: PreparedStatements;
  readonly #alone: boolean;
  #isOver = false;

  constructor(client: Pool | PoolClient, prepared: PreparedStatements, alone: boolean) {
    this.client = client;
    this.#prepared = prepared;
    this.#alone = alone;
  }

  async query<Row extends object>(text: string, values: readonly unknown[] = []): Promise<QueryResult<Row>> {
    if (this.#isOver) throw new UsageError("the transaction of this session is over");
    const name = this.#prepared.nameOf(text, values);
    if (name === undefined) return this.client.query<Row>(text, [...values]);
    try {
      return await this.client.query<Row>({ name, text, values: [...values] });
    } catch (error) {
      // A transaction is over by that; it is repeated as a whole.
      if (!this.#prepared.refusedBy(error) || !this.#alone) throw error;
      return this.client.query<Row>(text, [...values]);
    }
  }

  [Symbol.dispose](): void {
    this.#isOver = true;
  }
}

/** A session on the pool: each statement by itself. */
export function sessionOnPool(pool: Pool, prepared: PreparedStatements): Session {
  return new PgSession(pool, prepared, true);
}

/** A session on a connection that begins a transaction, until the connection is someone else's. */
export function transactionOn(client: PoolClient, prepared: PreparedStatements): Transaction & Disposable {
  return new PgSession(client, prepared, false);
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
