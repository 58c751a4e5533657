import { getEventListeners } from "node:events";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { atMost, pause, sleep, withSignal } from "../../lib/async/index.js";

const never = new Promise<never>(() => {});

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe("sleep", () => {
  test("resolves after its time, not before, and leaves the signal alone", async () => {
    const { signal } = new AbortController();
    let over = false;
    void sleep(1_000, { signal }).then(() => {
      over = true;
    });
    await vi.advanceTimersByTimeAsync(999);
    expect(over).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    expect(over).toBe(true);
    expect(getEventListeners(signal, "abort")).toEqual([]);
  });

  test("rejects with the signal's reason as soon as it aborts, and leaves no timer", async () => {
    const stop = new AbortController();
    const sleeping = sleep(1_000_000, { signal: stop.signal });
    stop.abort(new Error("closed"));
    await expect(sleeping).rejects.toThrow("closed");
    await expect(sleep(1_000_000, { signal: stop.signal })).rejects.toThrow("closed");
    expect(vi.getTimerCount()).toBe(0);
  });

  test("does not end early when the time is longer than a timer takes", async () => {
    let over = false;
    void sleep(2 ** 40).then(() => {
      over = true;
    });
    await vi.advanceTimersByTimeAsync(24 * 3600 * 1_000);
    expect(over).toBe(false);
  });
});

test("a pause ends with the signal", async () => {
  const stop = new AbortController();
  const paused = pause(1_000_000, { signal: stop.signal });
  stop.abort();
  await paused;
  expect(vi.getTimerCount()).toBe(0);
});

describe("atMost", () => {
  test("resolves when the time is over", async () => {
    const waiting = atMost(never, 500);
    await vi.advanceTimersByTimeAsync(500);
    await waiting;
  });

  test("settles as the work does when that is earlier, and leaves no timer", async () => {
    await atMost(Promise.resolve(1), 500);
    await expect(atMost(Promise.reject(new Error("no")), 500)).rejects.toThrow("no");
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe("withSignal", () => {
  test("settles as the work does, and leaves the signal alone", async () => {
    const { signal } = new AbortController();
    expect(await withSignal(Promise.resolve(7), signal)).toBe(7);
    await expect(withSignal(Promise.reject(new Error("no")), signal)).rejects.toThrow("no");
    expect(getEventListeners(signal, "abort")).toEqual([]);
  });

  test("rejects with the reason when the signal aborts, also when it has aborted before", async () => {
    const stop = new AbortController();
    const waiting = withSignal(never, stop.signal);
    stop.abort(new Error("closed"));
    await expect(waiting).rejects.toThrow("closed");
    await expect(withSignal(Promise.resolve(7), stop.signal)).rejects.toThrow("closed");
    // The work's own failure is ignored by then, and no unhandled rejection either.
    await expect(withSignal(Promise.reject(new Error("no")), stop.signal)).rejects.toThrow("closed");
  });
});
