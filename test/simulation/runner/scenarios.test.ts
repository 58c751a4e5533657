// Bugs of the runner that the simulation found, each told as the short history that shows it.
import { describe, expect, it } from "vitest";
import type { PlannedDerivation, RunnerPlan } from "./runner-plan.js";
import { inWorld, type RunnerWorld } from "./runner-world.js";
import { noStoreFaults, storeDir } from "./simulated-store.js";

function planOf(...derivations: readonly Partial<PlannedDerivation>[]): RunnerPlan {
  const complete = derivations.map(
    (one, index): PlannedDerivation => ({
      name: `d${index}`,
      inputs: [],
      system: "x86_64-linux",
      features: [],
      durationMs: 5_000,
      result: "succeeds",
      floating: false,
      flaky: 0,
      ...one,
    }),
  );
  return {
    seed: 1,
    derivations: new Map(complete.map((one) => [one.name, one])),
    events: [],
    maxTries: 2,
    builders: { reportTwice: 0, reportLate: 0, loseOutputs: 0 },
    healAt: 0,
  };
}

function addBuild(world: RunnerWorld, name: string): number {
  const drvPath = `${storeDir}/${world.derivations.get(name)?.drv}`;
  return world.database.addBuild({ jobset: 1, drvPath, priority: 100, globalPriority: 0 });
}

describe("what seeds have found", () => {
  it("a cached build that could not be recorded before it was cancelled leaves no trace", () =>
    inWorld(planOf({}), async (world) => {
      world.startRunner();
      world.heal();
      addBuild(world, "d0");
      await world.advance(60_000);
      world.store.faults = { ...noStoreFaults, refuses: "closure" };
      const again = addBuild(world, "d0");
      await world.advance(10_000);
      const row = world.database.tables.builds.get(again);
      expect(row?.finished).toBe(false);
      if (row !== undefined) world.database.delete(row);
      world.store.faults = noStoreFaults;
      await world.drain();
    }));

  it("new steps do not wait for cached builds of the same pass", () =>
    inWorld(planOf({}, {}), async (world) => {
      world.startRunner();
      world.heal();
      addBuild(world, "d0");
      await world.advance(60_000);
      world.store.faults = { ...noStoreFaults, refuses: "closure" };
      addBuild(world, "d0");
      addBuild(world, "d1");
      await world.advance(100);
      expect(world.life?.parts.scheduler.attempts()).toHaveLength(1);
      world.store.faults = noStoreFaults;
      await world.drain();
    }));
});
