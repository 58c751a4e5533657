// Many histories of a simulated farm; every invariant is checked between any two events.
import { describe, expect, it } from "vitest";
import { makePlan } from "./plan.js";
import { report, schedulerFailure } from "./shrink.js";
import { simulate } from "./simulation.js";

describe("the scheduler in a simulated farm", () => {
  it("keeps every invariant through 300 seeded histories", async () => {
    const failures: string[] = [];
    let events = 0;
    for (let seed = 1; seed <= 300; seed++) {
      const plan = makePlan(seed);
      try {
        events += simulate(plan).events;
      } catch (error) {
        failures.push(
          await report(plan, error instanceof Error ? error : new Error(String(error)), schedulerFailure),
        );
      }
    }
    expect(failures).toEqual([]);
    expect(events).toBeGreaterThan(50_000);
  });

  it("replays a seed to the same end", () => {
    expect(simulate(makePlan(17))).toEqual(simulate(makePlan(17)));
  });
});
