/** What the recording statements need of a transaction. */

/** Column names are lower case. */
export type SqlRow = Readonly<Record<string, unknown>>;

/** Runs one statement. Parameters are plain values and arrays, which the statements unnest. */
export interface SqlSession {
  query(
    text: string,
    values?: readonly unknown[],
  ): Promise<{ readonly rows: readonly SqlRow[]; readonly rowCount: number | null }>;
}

/** How a recording transaction is run. */
export interface RecordingOptions {
  readonly signal?: AbortSignal | undefined;
  /** `work` may be committed twice without harm. */
  readonly idempotent?: boolean | undefined;
  /** How long to go on while the database cannot be reached. */
  readonly patienceMs?: number | undefined;
}

/**
 * One transaction at READ COMMITTED; it is committed when `work` resolves and rolled back when it rejects. Refuses to
 * commit when another runner owns the database. May run `work` several times.
 */
export interface TransactionRunner {
  transaction<T>(work: (session: SqlSession) => Promise<T>, options?: RecordingOptions): Promise<T>;
}

/** The value of a 32-bit column that is not NULL. */
export function integer(row: SqlRow, column: string): number {
  return Number(row[column]);
}
