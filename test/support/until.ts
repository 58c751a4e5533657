// Waiting for something that another process does.
import { setTimeout as sleep } from "node:timers/promises";

export interface UntilOptions {
  /** Milliseconds, default 120 000. */
  readonly timeoutMs?: number;
  /**
   * Milliseconds between two looks, for what is there for a moment only. Default: 25, and longer where a look takes long
   * or the wait does, so that waiting costs little.
   */
  readonly everyMs?: number;
  /** Ends the wait early: rejects when this rejects. */
  readonly unless?: Promise<never>;
}

/** At most so much of the time goes into looking: the machine has other work to do than to be asked. */
const lookingShare = 0.1;
/** What was waited for is seen so much later at most, as a share of the wait. */
const lateShare = 0.05;
/** What a look waits for on a busy machine is not what it costs. Milliseconds. */
const longestPauseMs = 200;

/** Looks again and again until `look` gives something other than undefined or false. */
export async function until<T>(
  what: string,
  look: () => T | undefined | false | Promise<T | undefined | false>,
  options: UntilOptions = {},
): Promise<T> {
  const deadline = Date.now() + (options.timeoutMs ?? 120_000);
  const begun = performance.now();
  for (;;) {
    const began = performance.now();
    const found = await look();
    const lookMs = performance.now() - began;
    const waitedMs = performance.now() - begun;
    if (found !== undefined && found !== false) return found;
    if (Date.now() > deadline) throw new Error(`waited in vain for ${what}`);
    const pauseMs =
      options.everyMs ??
      Math.max(25, Math.min(Math.max(lookMs / lookingShare, waitedMs * lateShare), longestPauseMs));
    const pause = sleep(pauseMs);
    await (options.unless === undefined ? pause : Promise.race([pause, options.unless]));
  }
}
