/**
 * Repeats transactions until the database accepts them.
 *
 * A result of hours must not be lost because PostgreSQL restarts, so trouble that passes is waited out without limit.
 * What is wrong with the data itself will not get better: after a few tries the error goes to the caller.
 */
import { backoffDelay, type Retryability, retry } from "../../async/index.js";
import { DatabaseError } from "../../database/errors.js";
import { failureCode, failureKind } from "../../database/failure-kinds.js";
import type { SqlSession, TransactionRunner } from "../../database/recording/index.js";
import type { Logger } from "../../log.js";
import type { ProblemReporter } from "../state/problems.js";

const firstDelayMs = 50;
const longestDelayMs = 5_000;
/** Tries for errors that are not known to pass. */
const doubtfulTries = 6;
/** Resources of the server (a full disk, say), and a standby that is about to take over. */
const passingCodes = /^(53...|25006)$/;

/** Whether trying again makes sense; not when another runner owns the database or we are shutting down. */
export function troubleOf(error: unknown): Retryability {
  if (error instanceof DatabaseError) {
    switch (error.code) {
      case "fenced":
      case "closed":
        return "final";
      case "unavailable":
      case "unknown-outcome":
      case "conflict":
        return "passing";
      case "schema":
      case "embedded":
        return "doubtful";
    }
  }
  const kind = failureKind(error);
  return kind === "lost" || kind === "conflict" || passingCodes.test(failureCode(error) ?? "")
    ? "passing"
    : "doubtful";
}

/** The database, and how to wait for it. */
export interface RetryingOptions {
  readonly database: TransactionRunner;
  readonly logger: Logger;
  /** Ends all waiting; what is not recorded by then is found again after a restart. */
  readonly signal: AbortSignal | undefined;
  readonly random: () => number;
  /** Gets informed while the database refuses what has to be recorded. Default: none. */
  readonly problems?: ProblemReporter | undefined;
}

/** Transactions that are repeated until they are committed or hopeless. */
export class RetryingTransactions {
  readonly #options: RetryingOptions;
  #failures = 0;

  constructor(options: RetryingOptions) {
    this.#options = options;
  }

  /** Transactions that had to be repeated so far. */
  get failures(): number {
    return this.#failures;
  }

  /** `work` may run several times, also when an earlier run was committed and only the answer got lost. */
  async run<T>(
    what: string,
    work: (session: SqlSession) => Promise<T>,
    options?: { readonly doubtfulTries?: number },
  ): Promise<T> {
    const { database, logger, signal, random, problems } = this.#options;
    const result = await retry(() => database.transaction(work, { idempotent: true, signal }), {
      classify: troubleOf,
      delayMs: (failures) =>
        backoffDelay(failures, { firstMs: firstDelayMs, longestMs: longestDelayMs, random }),
      budget: { doubtfulTries: options?.doubtfulTries ?? doubtfulTries },
      signal,
      onRetry: ({ error, failures }) => {
        this.#failures++;
        logger.warn("recording failed; trying again", { what, tries: failures, error });
        // Collisions of transactions are settled by the second try; faults of the data are not the database's.
        if (failures > 1 && troubleOf(error) === "passing")
          problems?.begin({ code: "database-refuses", cause: error });
      },
    });
    problems?.end("database-refuses");
    return result;
  }
}
