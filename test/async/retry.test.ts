import * as fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { type Retryability, type RetryOptions, retry } from "../../lib/async/index.js";

/** What failing work throws here: its message is how it is to be classified. */
const trouble = (kind: Retryability): Error => new Error(kind);
const classify = (error: unknown): Retryability => (error as Error).message as Retryability;
const options: RetryOptions = { classify, delayMs: () => 100 };

/** Work that fails as listed, then answers the number of the attempt. */
function failing(kinds: readonly Retryability[]): (attempt: number) => Promise<number> {
  return async (attempt) => {
    const kind = kinds[attempt - 1];
    if (kind !== undefined) throw trouble(kind);
    return attempt;
  };
}

/** Settles `work` under virtual time. */
async function outcome<T>(work: Promise<T>): Promise<T | string> {
  const settled = work.catch((error: Error) => error.message);
  await vi.runAllTimersAsync();
  return settled;
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe("retry", () => {
  test("ends as the kinds of trouble say: at final trouble, at the fourth doubtful one, at success", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom<Retryability>("passing", "doubtful", "final"), { maxLength: 12 }),
        async (kinds) => {
          const final = kinds.indexOf("final");
          const doubtful = kinds.flatMap((kind, index) => (kind === "doubtful" ? [index] : []))[3] ?? -1;
          const ends = [final, doubtful].filter((index) => index >= 0);
          const end = Math.min(...ends);
          const expected = ends.length === 0 ? kinds.length + 1 : kinds[end];
          expect(await outcome(retry(failing(kinds), options))).toBe(expected);
        },
      ),
    );
  });

  test("gives passing trouble its time, from the first failure on, and as many attempts as doubtful trouble", async () => {
    const slow = { ...options, budget: { totalMs: 1_000 } };
    const often = vi.fn(failing(Array.from({ length: 50 }, () => "passing" as const)));
    expect(await outcome(retry(often, slow))).toBe("passing");
    expect(often).toHaveBeenCalledTimes(11);
    const seldom = vi.fn(failing(Array.from({ length: 50 }, () => "passing" as const)));
    expect(await outcome(retry(seldom, { ...slow, delayMs: () => 5_000 }))).toBe("passing");
    expect(seldom).toHaveBeenCalledTimes(4);
  });

  test("says each retry with its delay, and stops when there is no further delay", async () => {
    const notices: unknown[] = [];
    const delays = [10, 20];
    const work = retry(failing(["passing", "passing", "passing"]), {
      ...options,
      delayMs: (failures) => delays[failures - 1],
      onRetry: ({ failures, delayMs }) => notices.push([failures, delayMs]),
    });
    expect(await outcome(work)).toBe("passing");
    expect(notices).toEqual([
      [1, 10],
      [2, 20],
    ]);
  });

  test("goes on at once when it is asked to hurry, and waits again after the next failure", async () => {
    let hurry = new AbortController();
    const started: number[] = [];
    const work = retry(
      async () => {
        started.push(Date.now());
        if (started.length < 3) throw trouble("passing");
      },
      { ...options, delayMs: () => 60_000, hurry: () => hurry.signal },
    );
    const begin = Date.now();
    await vi.advanceTimersByTimeAsync(10);
    hurry.abort();
    hurry = new AbortController();
    await vi.advanceTimersByTimeAsync(60_000);
    await work;
    expect(started.map((at) => at - begin)).toEqual([0, 10, 60_010]);
  });

  test("ends while it waits, as soon as the signal aborts", async () => {
    const stop = new AbortController();
    const work = retry(failing(["passing"]), { ...options, delayMs: () => 1e9, signal: stop.signal });
    await vi.advanceTimersByTimeAsync(10);
    stop.abort(new Error("closed"));
    await expect(work).rejects.toThrow("closed");
    expect(vi.getTimerCount()).toBe(0);
  });

  test("does not start when the signal has aborted already, and says why even when the work failed", async () => {
    const work = vi.fn(failing([]));
    const stopped = AbortSignal.abort(new Error("closed"));
    await expect(retry(work, { ...options, signal: stopped })).rejects.toThrow("closed");
    expect(work).not.toHaveBeenCalled();
    const stop = new AbortController();
    const interrupted = async (): Promise<never> => {
      stop.abort(new Error("closed meanwhile"));
      throw trouble("final");
    };
    await expect(retry(interrupted, { ...options, signal: stop.signal })).rejects.toThrow("closed meanwhile");
  });
});
