/**
 * The runner's time. It is that of the machine's clock as long as that goes on steadily; a clock that is set, by NTP after a
 * boot or by hand, must not make machines silent, deadlines pass or pauses last for hours.
 */
import type { Logger } from "../log.js";

/** Milliseconds by which the clock may differ at once: a clock that is adjusted, not set. */
const smallStep = 1_000;
/** Set by more, it was not set before. Nothing that is waited for is worth a day of wrong times. Milliseconds. */
const hugeStep = 12 * 3_600_000;
/** By what share our time goes faster or slower until it agrees with the clock again: deadlines are a third early at most. */
const catchUp = 0.5;

/** What a steady clock reads; both in milliseconds. */
export interface ClockSources {
  /** Since the epoch; may be set. */
  readonly wall: () => number;
  /** Never set. */
  readonly elapsed: () => number;
}

/** Looked up at each use, as virtual time replaces them. */
const ofProcess: ClockSources = { wall: () => Date.now(), elapsed: () => performance.now() };

/** Milliseconds since the epoch, never going back by more than a small step unless the clock is set by half a day or more. */
export function steadyClock(logger: Logger, { wall, elapsed }: ClockSources = ofProcess): () => number {
  let last = elapsed();
  let time = wall();
  let isSlewing = false;
  return () => {
    const now = elapsed();
    const passed = Math.max(0, now - last);
    last = now;
    time += passed;
    const ahead = time - wall();
    const difference = Math.abs(ahead);
    const byMs = Math.round(-ahead);
    const isHuge = difference >= hugeStep;
    if (isHuge) logger.warn("the clock was set; times follow at once", { byMs });
    if (isHuge || difference <= (isSlewing ? passed * catchUp : smallStep)) {
      isSlewing = false;
      time -= ahead;
    } else {
      if (!isSlewing) logger.warn("the clock was set; times follow slowly", { byMs });
      isSlewing = true;
      time -= Math.sign(ahead) * passed * catchUp;
    }
    return Math.floor(time);
  };
}
