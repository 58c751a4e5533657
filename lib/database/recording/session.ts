/** What the recording statements need of a transaction. */

/** Runs one statement. Parameters are plain values and arrays, which the statements unnest. */
export interface SqlSession {
  query<Row extends object>(
    text: string,
    values?: readonly unknown[],
  ): Promise<{ readonly rows: readonly Row[]; readonly rowCount: number | null }>;
}

/** One transaction at READ COMMITTED; it is committed when `work` resolves and rolled back when it rejects. */
export interface TransactionRunner {
  transaction<T>(work: (session: SqlSession) => Promise<T>): Promise<T>;
}
