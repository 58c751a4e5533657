/**
 * One way for data that fits into a buffer, another for the rest: a process of its own costs more than it saves for
 * small data, and most logs and many outputs are small.
 */

/** Bytes that are held back to find out, when nothing else is said. */
const smallData = 256 * 1024;

/** Reads ahead until it is clear which of the two gets the whole of `source`: `small` up to `limit` bytes. */
export async function* bySize(
  source: AsyncIterable<Uint8Array>,
  ways: {
    readonly small: (all: AsyncIterable<Uint8Array>) => AsyncIterable<Uint8Array>;
    readonly large: (all: AsyncIterable<Uint8Array>) => AsyncIterable<Uint8Array>;
  },
  signal?: AbortSignal,
  limit = smallData,
): AsyncGenerator<Uint8Array> {
  const iterator = source[Symbol.asyncIterator]();
  const head: Uint8Array[] = [];
  let size = 0;
  let ended = false;
  try {
    while (!ended && size <= limit) {
      signal?.throwIfAborted();
      const next = await iterator.next();
      ended = next.done === true;
      if (next.done !== true) {
        // It may be lent.
        head.push(Buffer.from(next.value));
        size += next.value.length;
      }
    }
    if (ended) yield* ways.small(rejoined(head));
    else yield* ways.large(rejoined(head, iterator));
  } finally {
    // Not awaited: it may be waiting for data that need not come soon.
    if (!ended) void iterator.return?.()?.catch(() => undefined);
  }
}

async function* rejoined(
  head: readonly Uint8Array[],
  rest?: AsyncIterator<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  yield* head;
  if (rest === undefined) return;
  for (let next = await rest.next(); next.done !== true; next = await rest.next()) yield next.value;
}
