/** A bounded number of items at a time. */

/**
 * Calls `work` for each item, at most `limit` at once and started in order; results are in the order of the items.
 *
 * After the first error, or when `signal` aborts, nothing more is started; what is under way is awaited, so that nothing
 * of it goes on when the caller hears of the error.
 *
 * @throws the error that came first, or the signal's reason
 */
export async function mapLimited<T, R>(
  items: readonly T[],
  limit: number,
  work: (item: T, index: number) => Promise<R>,
  signal?: AbortSignal,
): Promise<R[]> {
  const results: R[] = Array.from({ length: items.length });
  let next = 0;
  const failures: unknown[] = [];
  const worker = async (): Promise<void> => {
    while (next < items.length && failures.length === 0) {
      const index = next++;
      try {
        signal?.throwIfAborted();
        results[index] = await work(items[index] as T, index);
      } catch (error) {
        failures.push(error);
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, worker));
  if (failures.length > 0) throw failures[0];
  return results;
}
