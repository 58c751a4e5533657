/** Giving up a wait that cannot be interrupted itself. */

/**
 * Settles as `work` does, or rejects as soon as `signal` aborts. `work` is not stopped by that; how it ends is then
 * ignored.
 *
 * @throws the signal's reason, or what `work` rejects with
 */
export async function withSignal<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  let onAbort = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason as Error);
  });
  if (signal.aborted) onAbort();
  else signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([aborted, work]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
