/**
 * Gathers what is to be recorded into transactions.
 *
 * Finishing builds serialises on one row of the database anyway, so what happens at the same time is committed together.
 * An item that the database refuses must not take others with it: a refused batch is recorded one by one.
 */
import type { SqlSession } from "../database/recording/index.js";
import { toError } from "../errors.js";
import { Microbatch } from "./microbatch.js";
import type { RetryingTransactions } from "./recorder-retry.js";

export interface RecordingBatchOptions<T, R> {
  readonly transactions: RetryingTransactions;
  /** For the log. */
  readonly what: string;
  /** Writes all items; answers in their order. Doing it twice must change nothing. */
  readonly write: (session: SqlSession, items: readonly T[]) => Promise<readonly R[]>;
  /** Items in one transaction. */
  readonly limit: number;
}

export class RecordingBatch<T, R> {
  readonly #options: RecordingBatchOptions<T, R>;
  readonly #batch: Microbatch<T, { readonly result: R } | { readonly error: Error }>;

  constructor(options: RecordingBatchOptions<T, R>) {
    this.#options = options;
    this.#batch = new Microbatch((items) => this.#write(items), { limit: options.limit });
  }

  /** Resolves when the item is committed. */
  async record(item: T): Promise<R> {
    const answer = await this.#batch.add(item);
    if ("error" in answer) throw answer.error;
    return answer.result;
  }

  /** In a transaction of its own. */
  async recordAlone(item: T): Promise<R> {
    const [result] = await this.#run([item]);
    return result as R;
  }

  async #write(
    items: readonly T[],
  ): Promise<readonly ({ readonly result: R } | { readonly error: Error })[]> {
    if (items.length > 1) {
      try {
        return (await this.#run(items)).map((result) => ({ result }));
      } catch {
        // Some item is at fault; its own transaction will say which.
      }
    }
    const answers: ({ readonly result: R } | { readonly error: Error })[] = [];
    for (const item of items) {
      try {
        answers.push({ result: await this.recordAlone(item) });
      } catch (error) {
        answers.push({ error: toError(error) });
      }
    }
    return answers;
  }

  #run(items: readonly T[]): Promise<readonly R[]> {
    const { transactions, what, write } = this.#options;
    return transactions.run(what, (session) => write(session, items), {
      ...(items.length > 1 && { doubtfulTries: 1 }),
    });
  }
}
