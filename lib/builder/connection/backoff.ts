/** Waiting between tries: exponential, with jitter, interruptible. */
import { setTimeout as sleep } from "node:timers/promises";

export interface BackoffOptions {
  /** Milliseconds before the second try. */
  readonly first: number;
  readonly longest: number;
  readonly random: () => number;
}

/** The delay before try `failures + 1`: doubled each time, somewhere in its upper half. */
export function backoffDelay(failures: number, options: BackoffOptions): number {
  const full = Math.min(options.longest, options.first * 2 ** Math.min(30, Math.max(0, failures - 1)));
  return full * (0.5 + options.random() / 2);
}

/** Resolves after `ms`, or at once when the signal fires. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal, ref: true }).catch(() => undefined);
}
