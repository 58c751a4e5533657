/**
 * Gathers outcomes into transactions.
 *
 * Finishing builds serialises on one row of the database anyway, so what ends at the same time is committed together.
 * An outcome that the database refuses must not take others with it: a refused batch is recorded one by one.
 */
import {
  type Outcome,
  type OutcomeResult,
  recordOutcomes,
  type StepNumbers,
} from "../database/recording/index.js";
import { toError } from "../errors.js";
import { Microbatch } from "./microbatch.js";
import type { RetryingTransactions } from "./recorder-retry.js";

/** Outcomes in one transaction. */
const batchSize = 64;
/** Outcomes with more builds than this get a transaction of their own. */
export const manyBuilds = 100;

type Answer = OutcomeResult | Error;

export class OutcomeQueue {
  readonly #transactions: RetryingTransactions;
  readonly #numbers: StepNumbers;
  readonly #batch: Microbatch<Outcome, Answer>;

  constructor(transactions: RetryingTransactions, numbers: StepNumbers) {
    this.#transactions = transactions;
    this.#numbers = numbers;
    this.#batch = new Microbatch((outcomes) => this.#record(outcomes), { limit: batchSize });
  }

  /** Resolves when the outcome is committed. */
  async record(outcome: Outcome): Promise<OutcomeResult> {
    const answer =
      outcome.builds.length > manyBuilds
        ? (await this.#transaction([outcome]))[0]
        : await this.#batch.add(outcome);
    if (answer === undefined) throw new Error("a transaction gave no answer");
    if (answer instanceof Error) throw answer;
    return answer;
  }

  async #record(outcomes: readonly Outcome[]): Promise<Answer[]> {
    try {
      return await this.#transaction(outcomes);
    } catch (error) {
      if (outcomes.length === 1) return [toError(error)];
    }
    const answers: Answer[] = [];
    for (const outcome of outcomes) {
      try {
        answers.push(...(await this.#transaction([outcome])));
      } catch (error) {
        answers.push(toError(error));
      }
    }
    return answers;
  }

  #transaction(outcomes: readonly Outcome[]): Promise<OutcomeResult[]> {
    return this.#transactions.run("the end of steps", (session) =>
      recordOutcomes(session, this.#numbers, outcomes),
    );
  }
}
