/** A machine's clock that is set by hours costs no machine and no time; times agree with it again in the end. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createLogger } from "../../lib/log.js";
import { type RunnerEffect, RunningScheduler } from "../../lib/runner/state/running-scheduler.js";
import { steadyClock } from "../../lib/runner/steady-clock.js";
import { machineId } from "../../lib/scheduler/ids.js";
import { machineInfo } from "../support/machine-info.js";

const hour = 3_600_000;
const epoch = 1_700_000_000_000;

/** A clock that is set as the test says. */
function machineClock() {
  let [wall, elapsed] = [epoch, 5_000];
  const lines: string[] = [];
  const logger = createLogger({ target: "test", write: (line) => lines.push(line) });
  return {
    now: steadyClock(logger, { wall: () => wall, elapsed: () => elapsed }),
    lines,
    pass: (ms: number) => {
      wall += ms;
      elapsed += ms;
    },
    set: (ms: number) => {
      wall += ms;
    },
    wall: () => wall,
  };
}

describe("the runner's time", () => {
  it("is that of the clock, also when that is adjusted a little", () => {
    const clock = machineClock();
    for (const step of [0, 3, -2, 900, -900]) {
      clock.pass(250);
      clock.set(step);
      expect(clock.now()).toBe(clock.wall());
    }
    expect(clock.lines).toEqual([]);
  });

  it("goes at most by half faster or slower when the clock is set, and agrees with it in the end", () => {
    const change = fc.record({
      passed: fc.integer({ min: 0, max: 60_000 }),
      step: fc.oneof(fc.constant(0), fc.integer({ min: -hour, max: hour })),
    });
    fc.assert(
      fc.property(fc.array(change, { maxLength: 10 }), (changes) => {
        const clock = machineClock();
        let before = clock.now();
        for (const { passed, step } of changes) {
          clock.pass(passed);
          clock.set(step);
          const now = clock.now();
          expect(now - before).toBeLessThanOrEqual(1.5 * passed + 1_001);
          expect(now - before).toBeGreaterThanOrEqual(0.5 * passed - 1_001);
          before = now;
        }
        for (let minute = 0; minute < 3 * 10 * 60; minute++) {
          clock.pass(60_000);
          clock.now();
        }
        expect(clock.now()).toBe(clock.wall());
      }),
    );
  });

  it("follows at once when the clock was not set before", () => {
    const clock = machineClock();
    clock.set(-epoch / 2);
    expect(clock.now()).toBe(clock.wall());
    clock.set(epoch / 2);
    expect(clock.now()).toBe(clock.wall());
    expect(clock.lines).toHaveLength(2);
  });

  it("says once that the clock was set", () => {
    const clock = machineClock();
    clock.set(hour);
    for (let second = 0; second < 100; second++) {
      clock.pass(1_000);
      clock.now();
    }
    expect(clock.lines).toEqual([expect.stringMatching(/clock was set; times follow slowly byMs=3600000$/)]);
  });
});

it.each([hour, -hour])(
  "a clock that is set by %i ms makes no machine silent, and hides none that is",
  (step) => {
    const clock = machineClock();
    const lost: string[] = [];
    const scheduler = new RunningScheduler(
      { deadlines: { heartbeatMs: 60_000 } },
      { now: clock.now, random: () => 0.5 },
    );
    const perform = (effect: RunnerEffect): void => {
      if (effect.kind === "machineLost") lost.push(effect.machine);
    };
    scheduler.connect({ perform }, { trigger: () => {} });
    for (const id of ["talks", "falls silent"]) {
      scheduler.addMachine(machineInfo(id), []);
    }
    const load = { load1: 0, buildDirFreePercent: 100, storeFreePercent: 100, pressure: undefined };
    const ping = (seconds: number): void => {
      for (let second = 0; second < seconds; second += 10) {
        clock.pass(10_000);
        scheduler.updateMachine(machineId("talks"), { ...load, storeTrouble: undefined });
        scheduler.advance();
      }
    };
    ping(30);
    clock.set(step);
    scheduler.advance();
    expect(lost).toEqual([]);
    ping(150);
    expect(lost).toEqual(["falls silent"]);
  },
);
