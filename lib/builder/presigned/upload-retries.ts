/** How long the uploads of a build go on through an outage of the bucket or the runner. */
import {
  type BackoffOptions,
  backoffDelay,
  type Retryability,
  type RetryOptions,
} from "../../async/index.js";

/** How uploads are retried. */
export interface UploadRetries {
  /** Milliseconds that an outage may last, from the first failure on. */
  readonly totalMs: number;
  readonly backoff: BackoffOptions;
}

/** Twenty minutes: much less than the two hours a runner waits for an upload. */
export const usualUploadRetries: UploadRetries = {
  totalMs: 20 * 60_000,
  backoff: { firstMs: 1000, longestMs: 30_000 },
};

/** For `retry`: an outage gets the time of `retries`, trouble that may be an accident four attempts. */
export function uploadRetryOptions(
  { totalMs, backoff }: UploadRetries,
  classify: (error: unknown) => Retryability,
  signal: AbortSignal,
): RetryOptions {
  return { classify, delayMs: (failures) => backoffDelay(failures, backoff), budget: { totalMs }, signal };
}
