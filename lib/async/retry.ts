/** Doing something again until it works, may not be tried any more, or is not wanted any more. */
import { pause, sleep } from "./sleep.js";

/**
 * Whether trying again can help: `passing` trouble (an outage) ends some time; `doubtful` trouble may be an accident;
 * `final` trouble stays whatever we do.
 */
export type Retryability = "passing" | "doubtful" | "final";

/** When to stop trying. */
export interface RetryBudget {
  /** Milliseconds from the first failure on that `passing` trouble may last. Default: no limit. */
  readonly totalMs?: number | undefined;
  /** Attempts that may fail with `doubtful` trouble, the last included; the time is not looked at before as many. Default 4. */
  readonly doubtfulTries?: number | undefined;
}

/** A failure that another attempt follows. */
export interface RetryNotice {
  readonly error: unknown;
  /** Failures so far, 1 or more. */
  readonly failures: number;
  /** Milliseconds until the next attempt. */
  readonly delayMs: number;
}

/** How to retry. */
export interface RetryOptions {
  readonly classify: (error: unknown) => Retryability;
  /** Milliseconds before the next attempt, given the number of failures so far (1 or more); undefined: no further attempt. */
  readonly delayMs: (failures: number) => number | undefined;
  /** Default: passing trouble without limit, doubtful trouble four times. */
  readonly budget?: RetryBudget | undefined;
  /** Ends the waiting and the trying; `work` has to watch it itself. */
  readonly signal?: AbortSignal | undefined;
  /** Called before each wait. */
  readonly onRetry?: ((notice: RetryNotice) => void) | undefined;
  /** Asked before each wait: a signal that ends it early, so that the next attempt begins at once. */
  readonly hurry?: (() => AbortSignal) | undefined;
  /** False: waiting for the next attempt does not keep the process alive. Default true. */
  readonly ref?: boolean | undefined;
}

/**
 * Calls `work` until it resolves, and answers what it does. `work` gets the number of the attempt, from 1.
 *
 * @throws what `work` threw last, or the signal's reason as soon as `signal` aborts between two attempts
 */
export async function retry<T>(work: (attempt: number) => Promise<T>, options: RetryOptions): Promise<T> {
  const { classify, delayMs: delayAfter, signal, onRetry, hurry, ref } = options;
  const { totalMs = Number.POSITIVE_INFINITY, doubtfulTries = 4 } = options.budget ?? {};
  let doubtful = 0;
  let firstFailure: number | undefined;
  for (let failures = 0; ; ) {
    signal?.throwIfAborted();
    try {
      return await work(failures + 1);
    } catch (error) {
      signal?.throwIfAborted();
      failures++;
      firstFailure ??= performance.now();
      const retryability = classify(error);
      if (retryability === "doubtful") doubtful++;
      const timeLeft = failures < doubtfulTries || performance.now() - firstFailure < totalMs;
      if (retryability === "final" || doubtful >= doubtfulTries || !timeLeft) throw error;
      const delayMs = delayAfter(failures);
      if (delayMs === undefined) throw error;
      onRetry?.({ error, failures, delayMs });
      if (hurry === undefined) await sleep(delayMs, { signal, ref });
      else await pause(delayMs, { signal: eitherOf(signal, hurry()), ref });
    }
  }
}

function eitherOf(signal: AbortSignal | undefined, other: AbortSignal): AbortSignal {
  return signal === undefined ? other : AbortSignal.any([signal, other]);
}
