/**
 * Gathers what is to be recorded into transactions.
 *
 * Finishing builds serialises on one row of the database anyway, so what happens at the same time is committed together.
 * Nothing may hold up the rest: an item that the database refuses is sorted out by recording a refused batch one by
 * one, and a batch that waits for a lock is overtaken by those after it.
 */

import { Microbatch } from "../../async/index.js";
import type { SqlSession } from "../../database/recording/index.js";
import { toError } from "../../errors.js";
import type { RetryingTransactions } from "./retrying-transactions.js";

/** What a batch writes and when it leaves. */
export interface RecordingBatchOptions<T, R> {
  readonly transactions: RetryingTransactions;
  /** For the log. */
  readonly what: string;
  /** Writes all items; answers in their order. Doing it twice must change nothing. */
  readonly write: (session: SqlSession, items: readonly T[]) => Promise<readonly R[]>;
  /** Items in one transaction. */
  readonly limit: number;
  /** A transaction that takes longer is overtaken. Default: 250 ms. */
  readonly overtakeAfterMs?: number;
}

type Answer<R> = { readonly result: R } | { readonly error: Error };

/** Transactions side by side when those before them do not come back. */
const lanes = 4;
const defaultOvertakeMs = 250;

interface Lane<T, R> {
  readonly batch: Microbatch<T, Answer<R>>;
  /** When the transaction under way began, on the monotonic clock. */
  since: number | undefined;
}

/** One kind of record, written in batches. */
export class RecordingBatch<T, R> {
  readonly #transactions: RetryingTransactions;
  readonly #what: string;
  readonly #write: RecordingBatchOptions<T, R>["write"];
  readonly #overtakeAfterMs: number;
  readonly #lanes: readonly Lane<T, R>[];

  constructor(options: RecordingBatchOptions<T, R>) {
    this.#transactions = options.transactions;
    this.#what = options.what;
    this.#write = options.write;
    this.#overtakeAfterMs = options.overtakeAfterMs ?? defaultOvertakeMs;
    this.#lanes = Array.from({ length: lanes }, () => {
      const lane: Lane<T, R> = {
        batch: new Microbatch((items) => this.#writeIn(lane, items), { limit: options.limit }),
        since: undefined,
      };
      return lane;
    });
  }

  /** Resolves when the item is committed. */
  async record(item: T): Promise<R> {
    const answer = await this.#lane().batch.add(item);
    if ("error" in answer) throw answer.error;
    return answer.result;
  }

  /** In a transaction of its own. */
  async recordAlone(item: T): Promise<R> {
    const [result] = await this.#run([item]);
    return result as R;
  }

  /** Some transaction has not come back for so long that others overtake it. */
  get isSlow(): boolean {
    const stuckBefore = performance.now() - this.#overtakeAfterMs;
    return this.#lanes.some(({ since }) => since !== undefined && since <= stuckBefore);
  }

  /** The first lane that moves; when none does, the one that got stuck last. */
  #lane(): Lane<T, R> {
    const stuckBefore = performance.now() - this.#overtakeAfterMs;
    const moving = this.#lanes.find(({ since }) => since === undefined || since > stuckBefore);
    if (moving !== undefined) return moving;
    return this.#lanes.reduce((best, lane) => ((lane.since ?? 0) > (best.since ?? 0) ? lane : best));
  }

  async #writeIn(lane: Lane<T, R>, items: readonly T[]): Promise<readonly Answer<R>[]> {
    lane.since = performance.now();
    try {
      return await this.#writeAll(items);
    } finally {
      lane.since = undefined;
    }
  }

  async #writeAll(items: readonly T[]): Promise<readonly Answer<R>[]> {
    if (items.length > 1) {
      try {
        return (await this.#run(items)).map((result) => ({ result }));
      } catch {
        // Some item is at fault; its own transaction will say which.
      }
    }
    const answers: Answer<R>[] = [];
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
    return this.#transactions.run(this.#what, (session) => this.#write(session, items), {
      ...(items.length > 1 && { doubtfulTries: 1 }),
    });
  }
}
