// Bugs of the runner that the simulation found, each told as the short history that shows it.
import { describe, expect, it } from "vitest";
import { noDatabaseFaults } from "../../../lib/testing/simulated/simulated-database.js";
import { noStoreFaults } from "../../../lib/testing/simulated/simulated-store.js";
import { storeDir } from "../../../lib/testing/simulated/store-paths.js";
import type { PlannedDerivation, RunnerPlan } from "./runner-plan.js";
import { inWorld, type RunnerWorld } from "./runner-world.js";

function planOf(...derivations: readonly Partial<PlannedDerivation>[]): RunnerPlan {
  return seededPlan(1, derivations);
}

function seededPlan(seed: number, derivations: readonly Partial<PlannedDerivation>[]): RunnerPlan {
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
    seed,
    derivations: new Map(complete.map((one) => [one.name, one])),
    events: [],
    maxTries: 2,
    builders: { reportTwice: 0, reportLate: 0, loseOutputs: 0 },
    principals: "each",
    healAt: 0,
  };
}

function addBuild(world: RunnerWorld, name: string): number {
  const drvPath = `${storeDir}/${world.derivations.get(name)?.drv}`;
  return world.database.addBuild({ jobset: 1, drvPath, priority: 100, globalPriority: 0 });
}

/** The runner dies while the last derivation is being built; `outageMs`: the database is away after that. */
async function killWhileBuilding(
  derivations: readonly Partial<PlannedDerivation>[],
  outageMs: number,
): Promise<void> {
  for (let seed = 1; seed <= 20; seed++) {
    await inWorld(seededPlan(seed, derivations), async (world) => {
      world.startRunner();
      world.addBuilder(world.random, { able: true, keepsBuilds: true });
      world.addBuilder(world.random, { able: true, keepsBuilds: true });
      world.heal();
      addBuild(world, `d${derivations.length - 1}`);
      await world.advance(30_000);
      expect(world.life?.parts.attempts.size).toBe(1);
      world.kill(200);
      if (outageMs > 0) world.database.faults = { ...noDatabaseFaults, down: true };
      await world.advance(outageMs);
      world.database.faults = noDatabaseFaults;
      await world.drain();
    });
  }
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
      expect(world.life?.parts.scheduler.view.attempts()).toHaveLength(1);
      world.store.faults = noStoreFaults;
      await world.drain();
    }));

  it("a new runner waits for builders that have a resolved step in work", () =>
    killWhileBuilding([{ floating: true }, { inputs: ["d0"], durationMs: 60_000 }], 0));

  it("a new runner waits for builders from the moment on at which they can join", () =>
    killWhileBuilding([{ durationMs: 60_000 }], 15_000));

  it.each([
    ["away", { ...noStoreFaults, down: true }],
    ["not able to say what arrived", { ...noStoreFaults, refuses: "queryPathInfos" }],
  ] as const)("a store that is %s when a build ends does not cost the build", (_, faults) =>
    inWorld(planOf({}), async (world) => {
      world.startRunner();
      world.heal();
      const build = addBuild(world, "d0");
      await world.advance(5_000);
      world.store.faults = faults;
      await world.advance(20_000);
      expect(world.life?.parts.attempts.size).toBe(1);
      world.store.faults = noStoreFaults;
      await world.drain();
      expect(world.database.tables.builds.get(build)?.status).toBe(0);
      expect(world.database.tables.steps.size).toBe(1);
    }),
  );

  it("a build that is restarted while its result is being recorded is taken in soon after", () =>
    inWorld(planOf({}), async (world) => {
      world.startRunner();
      world.heal();
      const build = addBuild(world, "d0");
      await world.advance(2_000);
      const row = world.database.tables.builds.get(build);
      if (row === undefined) throw new Error("no build");
      // The commit takes place, and its answer comes much later.
      world.database.faults = { ...noDatabaseFaults, slow: 1 };
      while (!row.finished) await world.advance(20);
      world.database.faults = noDatabaseFaults;
      world.database.restart(row);
      await world.advance(30_000);
      expect(row.finished).toBe(true);
      await world.drain();
    }));

  it("tries of a resolved step survive a restart", () =>
    inWorld(
      planOf({ floating: true, durationMs: 0 }, { inputs: ["d0"], durationMs: 0, flaky: 1 }),
      async (world) => {
        world.startRunner();
        world.addBuilder(world.random, { able: true, keepsBuilds: false });
        const build = addBuild(world, "d1");
        await world.advance(5_000);
        world.kill(200);
        await world.advance(60_000);
        expect(world.database.tables.builds.get(build)?.status).toBe(3);
        const rows = [...world.database.tables.steps.values()];
        expect(rows.filter((row) => row.drvPath.endsWith("-d1.drv") && row.status === 3)).toHaveLength(2);
        world.heal();
        await world.drain();
      },
    ));
});
