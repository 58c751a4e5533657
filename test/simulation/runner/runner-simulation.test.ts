// Histories of the real runner between a simulated database, store and builders.
import { describe, expect, it } from "vitest";
import { report, runnerFailure } from "../shrink.js";
import { makeRunnerPlan } from "./runner-plan.js";
import { simulateRunner } from "./runner-world.js";

describe("the runner in a simulated farm", () => {
  it("keeps every invariant through 40 seeded histories", async () => {
    const failures: string[] = [];
    let events = 0;
    let lives = 0;
    for (let seed = 1; seed <= 40; seed++) {
      const plan = makeRunnerPlan(seed);
      try {
        const result = await simulateRunner(plan);
        events += result.events;
        lives += result.lives;
      } catch (error) {
        failures.push(
          await report(plan, error instanceof Error ? error : new Error(String(error)), runnerFailure),
        );
      }
    }
    expect(failures).toEqual([]);
    expect(events).toBeGreaterThan(10_000);
    expect(lives).toBeGreaterThan(70);
  });

  it("replays a seed to the same end", async () => {
    expect(await simulateRunner(makeRunnerPlan(4))).toEqual(await simulateRunner(makeRunnerPlan(4)));
  });
});
