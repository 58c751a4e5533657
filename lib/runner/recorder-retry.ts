/**
 * Repeats transactions until the database accepts them.
 *
 * A result of hours must not be lost because PostgreSQL restarts, so trouble that passes is waited out without limit.
 * What is wrong with the data itself will not get better: after a few tries the error goes to the caller.
 */
import type { SqlSession, TransactionRunner } from "../database/recording/index.js";
import type { Logger } from "../log.js";

const firstDelayMs = 50;
const longestDelayMs = 5_000;
/** Tries for errors that are not known to pass. */
const doubtfulTries = 6;

/** SQLSTATEs of trouble that passes: serialization, deadlock, lost or refused connections, resources, read-only standby. */
const passing = /^(40...|08...|53...|57P0.|57014|55P03|25006)$/;
const passingSystemErrors = new Set([
  "ECONNREFUSED",
  "ECONNRESET",
  "ECONNABORTED",
  "EPIPE",
  "ETIMEDOUT",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENOENT",
  "EAI_AGAIN",
  "ENOTFOUND",
]);
const passingMessages = /connection (terminated|ended|closed)|timeout|client (was closed|has encountered)/i;
/** We may not write (any more): another runner owns the database, or we are shutting down. */
const final = new Set(["lock-lost", "lock-held", "not-owner", "fenced", "closed"]);

export type Trouble = "passing" | "doubtful" | "final";

/** How long trying again makes sense. Looks through the causes of an error. */
export function troubleOf(thrown: unknown): Trouble {
  let trouble: Trouble = "doubtful";
  let current: unknown = thrown;
  for (let depth = 0; current instanceof Error && depth < 8; depth++) {
    const code = "code" in current && typeof current.code === "string" ? current.code : "";
    if (final.has(code)) return "final";
    if (passing.test(code) || passingSystemErrors.has(code) || passingMessages.test(current.message)) {
      trouble = "passing";
    }
    current = current.cause;
  }
  return trouble;
}

export interface RetryingOptions {
  readonly database: TransactionRunner;
  readonly logger: Logger;
  /** Ends all waiting; what is not recorded by then is found again after a restart. */
  readonly signal: AbortSignal | undefined;
  readonly random: () => number;
}

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
  async run<T>(what: string, work: (session: SqlSession) => Promise<T>): Promise<T> {
    const { database, logger, signal } = this.#options;
    let doubtful = 0;
    for (let tries = 1; ; tries++) {
      signal?.throwIfAborted();
      try {
        return await database.transaction(work);
      } catch (error) {
        const trouble = troubleOf(error);
        if (trouble === "doubtful") doubtful++;
        if (trouble === "final" || doubtful >= doubtfulTries) throw error;
        this.#failures++;
        logger.warn("recording has to be repeated", { what, tries, error });
        await this.#pause(tries);
      }
    }
  }

  async #pause(tries: number): Promise<void> {
    const { signal, random } = this.#options;
    const delay =
      Math.min(longestDelayMs, firstDelayMs * 2 ** Math.min(tries - 1, 10)) * (0.5 + random() / 2);
    await new Promise<void>((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", done);
        resolve();
      };
      const timer = setTimeout(done, delay);
      signal?.addEventListener("abort", done, { once: true });
    });
  }
}
