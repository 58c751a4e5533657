/** History of a runner by the minute: what events say, what the database knows of the time before, and its bounds. */
import { expect, it } from "vitest";
import { EventBus, type StepFinished, type StepStarted } from "../../../lib/runner/events/index.js";
import { RunHistory } from "../../../lib/runner/service/history.js";

const minute = 60_000;
const step = { drv: "x" as never, name: "x", system: "s", ownBuilds: [] };

it("counts by the minute, knows the time before its start, and forgets after six hours", async () => {
  const events = new EventBus();
  let now = 1_000 * minute + 30_000;
  const asked: number[][] = [];
  const history = new RunHistory({
    events,
    now: () => now,
    slots: () => ({ slotsUsed: 3, slots: 8 }),
    past: async (since, until) => {
      asked.push([since, until]);
      if (asked.length === 1) throw new Error("the database is away");
      return [
        { at: 990 * minute, done: 4, failed: 1 },
        { at: 1_000 * minute, done: 10, failed: 0 },
      ];
    },
  });
  const finish = (kind: "succeeded" | "cancelled"): void =>
    events.emit({
      ...step,
      type: "stepFinished",
      at: now,
      outcome: kind === "succeeded" ? { kind } : { kind, wantedAgain: false },
      tries: 1,
      started: true,
    } satisfies StepFinished);
  for (const waitedMs of [1_000, 3_000]) {
    events.emit({
      ...step,
      type: "stepStarted",
      at: now,
      machine: { id: "m", hostname: "m" },
      try: 1,
      waitedMs,
      adopted: false,
    } satisfies StepStarted);
  }
  finish("succeeded");
  finish("cancelled");
  await Promise.resolve();
  expect((await history.report(1)).points.at(-1)).toMatchObject({ done: 1 });
  const { points, intervalMs } = await history.report(1);
  expect([points.length, intervalMs]).toEqual([60, minute]);
  expect(asked[1]).toEqual([640 * minute, now]);
  expect(points.at(-1)).toEqual({
    at: 1_000 * minute,
    done: 11,
    failed: 0,
    waitMs: 2_000,
    slotsUsed: 3,
    slots: 8,
  });
  expect(points.at(-11)).toEqual({
    at: 990 * minute,
    done: 4,
    failed: 1,
    waitMs: null,
    slotsUsed: null,
    slots: null,
  });
  now += 2 * minute;
  const later = await history.report(6);
  expect(later.points).toHaveLength(360);
  expect(later.points.at(-3)).toMatchObject({ at: 1_000 * minute, done: 11, slots: 8 });
  now += 500 * minute;
  expect((await history.report(6)).points.every(({ done }) => done === 0)).toBe(true);
});
