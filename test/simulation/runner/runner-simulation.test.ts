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

  it.each([
    [173, "a step is the machine's while it is asked whether a row says so"],
    [2190, "a machine that comes back while its build is being adopted is waited for"],
    [5224, "a refused claim does not shorten the reservation for another machine"],
    [8872, "what a machine says it runs when it joins again has arrived"],
    [929, "a step that was dropped while its machine was away may be given to another"],
    [5793, "builds are taken in by a runner that is active"],
    [3167, "an order may cross the cancellation of its build, and is aborted"],
    [7723, "a log is taken from those who have got the order, not from those who will"],
    [7828, "a pass under way may bring in a build that is cancelled meanwhile; the next removes it"],
    [5938, "what happened while a builder was away is a reason to abort"],
    [500_724, "a build that is deleted before its success could be recorded is forgotten"],
    [504_724, "so is one that is deleted while it is being recorded"],
    [504_096, "a build that is adopted again before its row is found is recorded once"],
    [507_359, "a build that ends while its rows wait to be taken in is not taken in again"],
    [504_429, "orders wait for rows that are slow, because the next runner knows of nothing else"],
    [719_340, "a report that is being checked does not speak for a later attempt of the same id"],
    [508_993, "a machine whose build was reported in its name may not have it back"],
    [509_683, "another machine's report is no repetition"],
  ])("keeps them in history %i: %s", async (seed) => {
    await expect(simulateRunner(makeRunnerPlan(seed))).resolves.toMatchObject({ events: expect.any(Number) });
  });

  it("replays a seed to the same end", async () => {
    expect(await simulateRunner(makeRunnerPlan(4))).toEqual(await simulateRunner(makeRunnerPlan(4)));
  });
});
