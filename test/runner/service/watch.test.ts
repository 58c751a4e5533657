/** Watching: what rejects and what is silent become problems, and end when the answer comes. */
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { watch } from "../../../lib/runner/service/watch.js";
import { Problems } from "../../../lib/runner/state/problems.js";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function watched(probe: () => Promise<void>) {
  const problems = new Problems();
  const stop = new AbortController();
  const done = watch({ code: "database-silent", probe, problems, signal: stop.signal });
  return {
    reasons: () => problems.present.map(({ reason }) => reason),
    stop: async () => {
      stop.abort();
      await vi.advanceTimersByTimeAsync(0);
      await done;
    },
  };
}

it("reports a probe that rejects, until one resolves", async () => {
  let broken = true;
  const { reasons, stop } = watched(async () => {
    if (broken) throw new Error("refused");
  });
  await vi.advanceTimersByTimeAsync(10);
  expect(reasons()).toEqual(["refused"]);
  broken = false;
  await vi.advanceTimersByTimeAsync(1_010);
  expect(reasons()).toEqual([]);
  await stop();
});

it("reports a silent one within 5 s, asks it no second time, and hears the late answer", async () => {
  let calls = 0;
  let answer: () => void = () => undefined;
  const { reasons, stop } = watched(() => {
    calls++;
    if (calls === 1) return Promise.resolve();
    return new Promise((resolve) => {
      answer = resolve;
    });
  });
  await vi.advanceTimersByTimeAsync(2_000);
  expect(reasons()).toEqual([]);
  await vi.advanceTimersByTimeAsync(3_000);
  expect(reasons()).toEqual(["no answer within 3 s"]);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(calls).toBe(2);
  answer();
  await vi.advanceTimersByTimeAsync(10);
  expect(reasons()).toEqual([]);
  await stop();
});

it("ends while a probe is silent", async () => {
  const { reasons, stop } = watched(() => new Promise(() => undefined));
  await vi.advanceTimersByTimeAsync(1_000);
  await stop();
  expect(reasons()).toEqual([]);
});
