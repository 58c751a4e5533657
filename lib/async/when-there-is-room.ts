/** Waiting for what the operating system lacks for a while: space, file descriptors, memory. */
import { isLackOfDescriptors, isShortage } from "../errors.js";
import { type BackoffOptions, backoffDelay } from "./backoff.js";
import { type RetryNotice, retry } from "./retry.js";

/** What is waited for, and when no longer. */
export interface ShortageOptions {
  /** Whether an error passes by itself. Default: any shortage. */
  readonly passes?: (error: unknown) => boolean;
  /** Milliseconds that it may lack. Default two minutes. */
  readonly patienceMs?: number;
  /** Milliseconds between two tries, see `backoffDelay`. Default 100, growing to 2,000. */
  readonly pause?: Pick<BackoffOptions, "firstMs" | "longestMs">;
  readonly onRetry?: ((notice: RetryNotice) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Does `work`, again and again while the system lacks what it needs: others may be about to free it, and what a build
 * brought about must not be lost to that.
 *
 * @throws what `work` threw last, when the patience is over or for another reason; the signal's reason
 */
export function whenThereIsRoom<T>(work: () => Promise<T>, options: ShortageOptions = {}): Promise<T> {
  const { passes = isShortage, patienceMs = 120_000, signal, onRetry } = options;
  const { pause = { firstMs: 100, longestMs: 2_000 } } = options;
  return retry(work, {
    classify: (error) => (passes(error) ? "passing" : "final"),
    delayMs: (failures) => backoffDelay(failures, pause),
    budget: { totalMs: patienceMs, doubtfulTries: 1 },
    signal,
    ref: false,
    onRetry,
  });
}

/**
 * As `whenThereIsRoom`, while this process can open nothing more, be it a file, a connection or a program: that says
 * nothing about what was to be opened. `work` must be such that doing it again after that is right.
 */
export function whenDescriptorsAreFree<T>(
  work: () => Promise<T>,
  options: Omit<ShortageOptions, "passes"> = {},
): Promise<T> {
  return whenThereIsRoom(work, { ...options, passes: isLackOfDescriptors });
}
