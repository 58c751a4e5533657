/** Trying again, for calls that may be made twice. */
import { retry } from "../../async/index.js";
import { RpcError, type RpcStatus } from "../errors.js";

/** How a call is retried. */
export interface RetryOptions {
  /** Milliseconds before each further try. */
  readonly delaysMs: readonly number[];
  /** From 0 to 1; delays grow by up to half. */
  readonly random: () => number;
  /** Ends the waiting. */
  readonly signal: AbortSignal | undefined;
  /** Whether trying again makes sense at all, as long as there is a connection. */
  readonly worthwhile: () => boolean;
  /** Called before each wait, with its length in milliseconds. */
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

/** @throws RpcError of the last try; `cancelled` when `signal` aborts before the next one */
export async function retried<T>(call: () => Promise<T>, options: RetryOptions): Promise<T> {
  const { delaysMs, random, signal, worthwhile, onRetry } = options;
  let waiting = false;
  let last: RpcError | undefined;
  const attempt = async (): Promise<T> => {
    waiting = false;
    try {
      return await call();
    } catch (error) {
      last = RpcError.from(error);
      throw last;
    }
  };
  try {
    return await retry(attempt, {
      classify: (error) => (final.has(RpcError.from(error).code) || !worthwhile() ? "final" : "passing"),
      delayMs: (failures) => {
        const delay = delaysMs[failures - 1];
        return delay === undefined ? undefined : delay * (1 + random() / 2);
      },
      signal,
      onRetry: ({ error, delayMs }) => {
        waiting = true;
        onRetry(RpcError.from(error), delayMs);
      },
    });
  } catch (error) {
    if (waiting) throw new RpcError("cancelled", "the call was given up", { cause: last });
    throw last ?? RpcError.from(error);
  }
}
