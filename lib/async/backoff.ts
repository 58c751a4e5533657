/** Growing delays between attempts: exponential, with jitter so that peers spread out, and bounded. */
import { sleep } from "./sleep.js";

/** How delays grow. */
export interface BackoffOptions {
  /** Longest delay after the first failure, in milliseconds; doubles with each further one. */
  readonly firstMs: number;
  /** No delay is longer than this many milliseconds. */
  readonly longestMs: number;
  /** Uniform in [0, 1). Default `Math.random`. */
  readonly random?: (() => number) | undefined;
}

/** Enough doublings for any delay, and far from overflow. */
const mostDoublings = 30;

/**
 * Milliseconds to wait after so many failures in a row (1 or more): between half of and the whole of the doubled
 * delay.
 */
export function backoffDelay(failures: number, options: BackoffOptions): number {
  const { firstMs, longestMs, random = Math.random } = options;
  const doublings = Math.min(mostDoublings, Math.max(0, failures - 1));
  const full = Math.min(longestMs, firstMs * 2 ** doublings);
  return full * (0.5 + random() / 2);
}

/** Counts failures in a row for a loop that retries until it is stopped. */
export class Backoff {
  readonly #options: BackoffOptions;
  #failures = 0;

  constructor(options: BackoffOptions) {
    this.#options = options;
  }

  /** It worked: the next delay is a first one again. */
  reset(): void {
    this.#failures = 0;
  }

  /** Counts a failure and sleeps for its delay. @throws the signal's reason, immediately when `signal` aborts */
  async wait(signal?: AbortSignal): Promise<void> {
    this.#failures++;
    await sleep(backoffDelay(this.#failures, this.#options), { signal });
  }
}
