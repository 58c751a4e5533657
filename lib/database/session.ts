/** What statements run on: the pool, or one connection inside a transaction. */
import type { Pool, PoolClient } from "pg";
import { toError, UsageError } from "../errors.js";
import { isAfterFailure } from "./failure-kinds.js";
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
  /** The first error of a transaction. */
  #failure: Error | undefined;
  #isOver = false;

  constructor(client: Pool | PoolClient, prepared: PreparedStatements, alone: boolean) {
    this.client = client;
    this.#prepared = prepared;
    this.#alone = alone;
  }

  async query<Row extends object>(text: string, values: readonly unknown[] = []): Promise<QueryResult<Row>> {
    if (this.#isOver) throw new UsageError("the transaction of this session is over");
    const name = this.#prepared.nameOf(text, values);
    try {
      return await this.client.query<Row>({ name, text, values: [...values] });
    } catch (error) {
      if (name !== undefined && this.#prepared.refusedBy(error) && this.#alone)
        return this.client.query<Row>(text, [...values]);
      // A transaction is over by an error; it is repeated as a whole, for the reason that its first error gives. Which of
      // several statements is waited for first does not matter then.
      if (this.#failure !== undefined && isAfterFailure(error)) throw this.#failure;
      if (!this.#alone) this.#failure ??= toError(error);
      throw error;
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
