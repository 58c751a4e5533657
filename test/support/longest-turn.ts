// How long work keeps the event loop, in processor time of this thread: other processes and threads do not lengthen it.
import { readFileSync } from "node:fs";

/** Milliseconds of processor time of the calling thread. */
export function threadMs(): number {
  return Number(readFileSync("/proc/thread-self/schedstat", "latin1").split(" ")[0]) / 1e6;
}

/** Runs `work`; the longest time in milliseconds that it took without a turn of the event loop for others. */
export async function longestTurn(work: () => Promise<unknown>): Promise<number> {
  let longest = 0;
  let seen = threadMs();
  const look = (): void => {
    const now = threadMs();
    longest = Math.max(longest, now - seen);
    seen = now;
  };
  // At each turn, so that turns do not add up.
  let running = true;
  const every = (): void => {
    look();
    if (running) setImmediate(every);
  };
  setImmediate(every);
  try {
    await work();
  } finally {
    running = false;
    look();
  }
  return longest;
}
