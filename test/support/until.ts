// Waiting for something that another process does.
import { setTimeout as sleep } from "node:timers/promises";

export interface UntilOptions {
  /** Milliseconds, default 120 000. */
  readonly timeoutMs?: number;
  /** Milliseconds between two looks, default 25. */
  readonly everyMs?: number;
  /** Ends the wait early: rejects when this rejects. */
  readonly unless?: Promise<never>;
}

/** Looks again and again until `look` gives something other than undefined or false. */
export async function until<T>(
  what: string,
  look: () => T | undefined | false | Promise<T | undefined | false>,
  options: UntilOptions = {},
): Promise<T> {
  const deadline = Date.now() + (options.timeoutMs ?? 120_000);
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    if (Date.now() > deadline) throw new Error(`waited in vain for ${what}`);
    const pause = sleep(options.everyMs ?? 25);
    await (options.unless === undefined ? pause : Promise.race([pause, options.unless]));
  }
}
