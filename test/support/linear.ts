/** Shows that work is linear in its input: by the ratio of two sizes, not by the clock of one machine. */
import { expect } from "vitest";

/** Milliseconds of processor time, which other processes do not lengthen. */
function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

async function fastest(work: () => unknown, rounds: number): Promise<number> {
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < rounds; round++) {
    const began = cpuMs();
    await work();
    best = Math.min(best, cpuMs() - began);
  }
  return best;
}

/** Below this a measurement says nothing, and nothing is wrong either. Milliseconds of processor time. */
const negligible = 100;

/**
 * Runs `work` on an input and on one sixteen times as long: a linear parser takes about sixteen times as long, a
 * quadratic one 256 times.
 * @param make an input of about so many bytes, made outside of the measurement
 * @param size of the longer input, default 4 MiB
 */
export async function expectLinear<T>(
  make: (size: number) => T,
  work: (input: T) => unknown,
  size = 4 << 20,
): Promise<void> {
  const small = make(size >> 4);
  await work(small);
  const smallMs = await fastest(() => work(small), 3);
  // A quadratic parser shows itself here, before the long input would take minutes.
  if (smallMs > negligible / 4) {
    const medium = make(size >> 2);
    const mediumMs = await fastest(() => work(medium), 1);
    if (mediumMs > 20 * negligible) expect(mediumMs / Math.max(smallMs, 1)).toBeLessThan(14);
  }
  const large = make(size);
  // A collection of garbage may fall into one run; it does not fall into each.
  let largeMs = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 3 && largeMs > negligible && largeMs / Math.max(smallMs, 1) >= 80; round++) {
    largeMs = Math.min(largeMs, await fastest(() => work(large), 1));
  }
  if (largeMs > negligible) expect(largeMs / Math.max(smallMs, 1)).toBeLessThan(80);
}
