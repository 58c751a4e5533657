// Single acts of liars and single shortages, each in a short history of its own.
import { describe, expect, it } from "vitest";
import { SeededRandom } from "../../../lib/testing/simulated/seeded-random.js";
import { noDatabaseFaults } from "../../../lib/testing/simulated/simulated-database.js";
import { storeDir } from "../../../lib/testing/simulated/store-paths.js";
import { claim, forge, forgeReport, lie, seize } from "./liars.js";
import type { PlannedDerivation, RunnerPlan } from "./runner-plan.js";
import { inWorld, type RunnerWorld } from "./runner-world.js";

const d0: PlannedDerivation = {
  name: "d0",
  inputs: [],
  system: "x86_64-linux",
  features: [],
  durationMs: 30_000,
  result: "succeeds",
  floating: false,
  flaky: 0,
};

function planOf(seed: number): RunnerPlan {
  return {
    seed,
    derivations: new Map([["d0", d0]]),
    events: [],
    maxTries: 3,
    builders: { reportTwice: 0, reportLate: 0, loseOutputs: 0 },
    principals: "each",
    healAt: 0,
  };
}

/** `act` happens five seconds after the only build was added; two builders could do it. */
async function whileBuilding(act: (world: RunnerWorld, random: SeededRandom) => void): Promise<void> {
  for (let seed = 1; seed <= 6; seed++) {
    await inWorld(planOf(seed), async (world) => {
      world.startRunner();
      world.addBuilder(world.random, { able: true, keepsBuilds: true });
      world.heal();
      const drvPath = `${storeDir}/${world.derivations.get("d0")?.drv}`;
      const build = world.database.addBuild({ jobset: 1, drvPath, priority: 100, globalPriority: 0 });
      await world.advance(10_000);
      expect(world.life?.parts.attempts.size).toBe(1);
      act(world, new SeededRandom(seed));
      await world.drain();
      expect(world.database.tables.builds.get(build)?.status).toBe(0);
      const [path] = world.outputPaths();
      const hash = path === undefined ? undefined : world.store.hashOf(path);
      if (path === undefined || hash === undefined) throw new Error("no output");
      expect(world.ledger.isBuilt(path, hash)).toBe(true);
      expect(world.published.has(path)).toBe(true);
    });
  }
}

describe("liars", () => {
  it("cannot have an output believed that they were not asked for", () => whileBuilding(forge));

  it("cannot end the attempts of others", () => whileBuilding(forgeReport));

  it("cannot have builds that they were not given", () => whileBuilding(claim));

  it("cannot take over the machines of others", () => whileBuilding(seize));

  it("are found out when outputs are not what they report", () => whileBuilding(lie));
});

describe("what the runner waits for", () => {
  it("a database that is frozen for longer than a build takes costs no build", () =>
    whileBuilding((world) => {
      world.database.faults = { ...noDatabaseFaults, frozen: true };
      world.time.after(120_000, () => {
        expect(world.database.tables.steps.size).toBe(1);
        world.database.heal();
      });
    }));

  it("a bucket that does not answer delays the build, and does not lose it", () =>
    whileBuilding((world) => {
      world.bucket.silent = true;
    }));
});
