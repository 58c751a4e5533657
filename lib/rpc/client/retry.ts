/** Trying again, for calls that may be made twice. */
import { setTimeout as sleep } from "node:timers/promises";
import { RpcError, type RpcStatus } from "../errors.js";

export interface RetryOptions {
  /** Milliseconds before each further try. */
  readonly delaysMs: readonly number[];
  /** From 0 to 1; delays grow by up to half. */
  readonly random: () => number;
  /** Ends the waiting. */
  readonly signal: AbortSignal | undefined;
  /** Whether trying again makes sense at all, as long as there is a connection. */
  readonly worthwhile: () => boolean;
  readonly onRetry: (error: RpcError, delayMs: number) => void;
}

/**
 * Statuses another try does not change. `internal` is not among them: deployed runners use it for everything that may
 * pass.
 */
const final: ReadonlySet<RpcStatus> = new Set<RpcStatus>([
  "cancelled",
  "invalid-argument",
  "not-found",
  "already-exists",
  "permission-denied",
  "failed-precondition",
  "out-of-range",
  "unimplemented",
  "unauthenticated",
]);

/** @throws RpcError of the last try */
export async function retried<T>(call: () => Promise<T>, options: RetryOptions): Promise<T> {
  const { delaysMs, random, signal, worthwhile, onRetry } = options;
  for (const delay of delaysMs) {
    try {
      return await call();
    } catch (thrown) {
      const error = RpcError.from(thrown);
      if (final.has(error.code) || signal?.aborted === true || !worthwhile()) throw error;
      const wait = delay * (1 + random() / 2);
      onRetry(error, wait);
      await sleep(wait, undefined, signal === undefined ? {} : { signal }).catch(() => {
        throw new RpcError("cancelled", "the call was given up", { cause: error });
      });
    }
  }
  return call();
}
