/** What every answer over a socket has to keep to: it comes in time, and costs bounded memory. */
import { assert } from "../../target.js";

/** Longest time that a peer's bytes may keep us, in milliseconds. */
const longestMs = 2_000;
/** Counted in turns of the event loop so far apart, as both ends live in it: a busy machine delays the turns too. */
const turnMs = 50;
/** Most memory that one case of at most 64 KiB may cost. */
const mostBytes = 128 * 2 ** 20;

const held = (): number => {
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
};

/** @throws what `work` throws; BrokenProperty when it takes too long or holds too much */
export async function withinLimits(what: string, work: () => Promise<unknown>): Promise<void> {
  const before = held();
  let timer: NodeJS.Timeout | undefined;
  const tooLate = new Promise<"late">((resolve) => {
    let turns = 0;
    timer = setInterval(() => {
      if (++turns >= longestMs / turnMs) resolve("late");
    }, turnMs);
  });
  try {
    assert((await Promise.race([work(), tooLate])) !== "late", `${what}: no end within ${longestMs} ms`);
  } finally {
    clearInterval(timer);
  }
  const grown = held() - before;
  assert(grown < mostBytes, `${what}: memory grew by ${Math.round(grown / 2 ** 20)} MiB`);
}
