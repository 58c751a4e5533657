/** Waiting for what the operating system lacks for a while: space, file descriptors, memory. */
import { isShortage } from "../errors.js";
import { backoffDelay } from "./backoff.js";
import { retry } from "./retry.js";

/** How long it may lack, in milliseconds. */
const patienceMs = 120_000;

/** What is waited for, and when no longer. */
export interface ShortageOptions {
  /** Whether an error passes by itself. Default: any shortage. */
  readonly passes?: (error: unknown) => boolean;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Does `work`, again and again while the system lacks what it needs: others may be about to free it, and what a build
 * brought about must not be lost to that.
 *
 * @throws what `work` threw last, after two minutes or for another reason; the signal's reason
 */
export function whenThereIsRoom<T>(work: () => Promise<T>, options: ShortageOptions = {}): Promise<T> {
  const { passes = isShortage, signal } = options;
  return retry(work, {
    classify: (error) => (passes(error) ? "passing" : "final"),
    delayMs: (failures) => backoffDelay(failures, { firstMs: 100, longestMs: 2_000 }),
    budget: { totalMs: patienceMs, doubtfulTries: 1 },
    signal,
    ref: false,
  });
}
