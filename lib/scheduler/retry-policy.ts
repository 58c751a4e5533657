/** Delays between tries. */
import { anAmount, checkMembers } from "../argument-checks.js";
import type { RetryOptions } from "./options.js";
import type { Random } from "./random.js";

/** When, and whether at all, a step is tried again. */
export class RetryPolicy {
  constructor(readonly options: RetryOptions) {
    checkMembers("RetryPolicy", options, {
      maxTries: anAmount,
      intervalMs: anAmount,
      backoff: anAmount,
      maxDelayMs: anAmount,
      jitterMs: anAmount,
    });
  }

  /**
   * @param tries tries made so far, the failed one included
   * @returns the delay in ms, or undefined when it was the last try
   */
  delayAfter(tries: number, random: Random): number | undefined {
    const { maxTries, intervalMs, backoff, maxDelayMs, jitterMs } = this.options;
    if (tries >= maxTries) return undefined;
    const delay = Math.min(maxDelayMs, intervalMs * backoff ** (tries - 1));
    return Math.trunc(delay + random() * jitterMs);
  }
}
