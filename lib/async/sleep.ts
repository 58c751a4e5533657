/** Waiting for time to pass. */

/** The longest delay that a timer takes, about 24 days; with a longer one it would go off at once. */
const longestTimerMs = 2 ** 31 - 1;

/** What may end a sleep early, and whether it keeps the process alive. */
export interface SleepOptions {
  /** Ends the sleep. Default: nothing does. */
  readonly signal?: AbortSignal | undefined;
  /** False: the process may exit although this sleep is not over. Default true. */
  readonly ref?: boolean | undefined;
}

/**
 * Resolves after `ms` milliseconds (at most 24 days).
 *
 * @throws the signal's reason, immediately when `signal` aborts or is aborted already
 */
export function sleep(ms: number, { signal, ref = true }: SleepOptions = {}): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) {
      reject(signal.reason as Error);
      return;
    }
    const onAbort = (): void => {
      clearTimeout(timer);
      reject(signal?.reason as Error);
    };
    const timer = setTimeout(
      () => {
        signal?.removeEventListener("abort", onAbort);
        resolve();
      },
      Math.min(longestTimerMs, ms),
    );
    if (!ref) timer.unref();
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}

/** Resolves after `ms` milliseconds, or immediately when `signal` aborts: for loops that look at the signal themselves. */
export function pause(ms: number, options: SleepOptions & { readonly signal: AbortSignal }): Promise<void> {
  return sleep(ms, options).catch(() => undefined);
}

/** Resolves in a later turn of the event loop, after everything that is due already. */
export function turn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

/**
 * Settles as `work` does, but resolves after `ms` milliseconds if `work` has not settled by then. The timer does not
 * keep the process alive.
 *
 * @throws what `work` rejects with in time; later rejections are ignored
 */
export function atMost(work: Promise<unknown>, ms: number): Promise<void> {
  return new Promise<void>((resolve, reject) => {
    const timer = setTimeout(resolve, Math.min(longestTimerMs, ms));
    timer.unref();
    work.then(() => resolve(), reject).finally(() => clearTimeout(timer));
  });
}
