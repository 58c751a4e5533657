/** What the events of a plan do to the world around the runner. */
import { buildId } from "../../../lib/scheduler/ids.js";
import { SeededRandom } from "../../../lib/testing/simulated/seeded-random.js";
import { noDatabaseFaults } from "../../../lib/testing/simulated/simulated-database.js";
import { noStoreFaults } from "../../../lib/testing/simulated/simulated-store.js";
import { storeDir } from "../../../lib/testing/simulated/store-paths.js";
import type { BuildRow } from "../../../lib/testing/simulated/tables.js";
import { claim, forge, forgeReport, lie, peek, seize } from "./liars.js";
import type { RunnerEvent } from "./runner-plan.js";
import type { RunnerWorld } from "./runner-world.js";
import type { SimulatedBuilder } from "./simulated-builder.js";
import { diskFaults } from "./simulated-disk.js";

/** What may end builds before their time. */
const disturbing: ReadonlySet<string> = new Set([
  "cancel",
  "restartBuild",
  "deleteBuild",
  "leave",
  "breakTunnel",
  "silence",
  "crash",
  "kill",
  "stop",
]);
/** Ways to lose a machine. */
const losing: ReadonlySet<string> = new Set(["leave", "breakTunnel", "silence", "crash"]);

/** One event of a plan. Its seed decides the details. */
export function happen(world: RunnerWorld, { kind, seed }: RunnerEvent): void {
  const random = new SeededRandom(seed);
  if (disturbing.has(kind)) world.disturb();
  if (losing.has(kind)) world.losses++;
  const pick = <T>(items: readonly T[]): T | undefined =>
    items.length === 0 ? undefined : random.pick(items);
  const builder = (): SimulatedBuilder | undefined => pick(world.builders.filter(({ gone }) => !gone));
  const build = (finished: boolean): BuildRow | undefined =>
    pick([...world.database.tables.builds.values()].filter((row) => row.finished === finished));
  switch (kind) {
    case "build":
      addBuilds(world, random);
      return;
    case "cancel": {
      const row = build(false);
      if (row === undefined) return;
      world.cancelled.add(row.id);
      world.database.cancel(row);
      return;
    }
    case "bump": {
      const row = build(false);
      if (row === undefined) return;
      row.globalPriority = random.int(1, 5);
      world.database.notify("builds_bumped");
      return;
    }
    case "restartBuild": {
      const row = build(true);
      if (row === undefined) return;
      world.restarts++;
      world.database.restart(row);
      return;
    }
    case "repoint": {
      const row = build(false);
      const twin = [...world.derivations.values()].find(({ drv }) => row?.drvPath.endsWith(drv))?.twin;
      if (row === undefined || twin === undefined) return;
      row.drvPath = `${storeDir}/${twin}`;
      world.repointed = true;
      return;
    }
    case "deleteBuild": {
      const row = build(random.chance(0.3));
      if (row === undefined) return;
      world.deletions++;
      for (const one of world.builders) one.forgetWaiting();
      world.database.delete(row);
      return;
    }
    case "takeIn": {
      const row = build(false);
      // Others refuse it, see `whileActive`: what an earlier runner left is not known yet.
      if (row !== undefined && world.life?.active === true) {
        world.life.parts.monitor.ingestNow(buildId(row.id)).catch(() => {});
      }
      return;
    }
    case "shares": {
      const jobset = pick(world.database.jobsets);
      if (jobset !== undefined) jobset.shares = random.int(1, 3) * 100;
      world.database.notify("jobset_shares_changed");
      return;
    }
    case "join":
      world.addBuilder(random);
      return;
    case "leave":
      builder()?.leave();
      return;
    case "breakTunnel":
      builder()?.breakTunnel();
      return;
    case "silence":
      builder()?.silence();
      return;
    case "crash":
      builder()?.crash();
      return;
    case "stallRun":
      builder()?.stallOne(random);
      return;
    case "spoof": {
      const run = pick(world.builders.flatMap((one) => [...one.runs.values()]).filter((one) => one.owned));
      if (run !== undefined) builder()?.spoof(run);
      return;
    }
    case "database": {
      const chance = (): number => (random.chance(0.5) ? random.next() * 0.5 : 0);
      const faults = {
        down: random.chance(0.3),
        collide: chance(),
        loseAnswer: chance(),
        slow: chance() / 3,
        deaf: chance(),
        frozen: false,
      };
      world.database.faults = faults;
      world.time.after(random.int(1000, 60_000), () => {
        if (world.database.faults === faults) world.database.heal();
      });
      return;
    }
    case "store": {
      const faults = { down: random.chance(0.3), slow: random.next() * 0.3 };
      world.store.faults = faults;
      world.time.after(random.int(1000, 30_000), () => {
        if (world.store.faults === faults) world.store.faults = noStoreFaults;
      });
      return;
    }
    case "lie":
      lie(world, random);
      return;
    case "forge":
      forge(world, random);
      return;
    case "forgeReport":
      forgeReport(world, random);
      return;
    case "claim":
      claim(world, random);
      return;
    case "seize":
      seize(world, random);
      return;
    case "peek":
      peek(world, random);
      return;
    case "disk": {
      const fault = random.pick(diskFaults);
      world.disk.fault = fault;
      world.time.after(random.int(1000, 60_000), () => {
        world.disk.fault = undefined;
      });
      return;
    }
    case "freeze":
      freeze(world, random.int(1000, 120_000));
      return;
    case "loseDatabase": {
      const { life } = world;
      const outageMs = random.int(1000, 60_000);
      freeze(world, outageMs);
      world.time.after(random.int(1, outageMs), () => {
        if (life === undefined || world.life !== life || world.healed) return;
        world.disturb();
        life.lockLost();
        world.time.after(random.int(1, 2_000), () => {
          if (world.life === life) world.kill(random.int(100, 20_000));
        });
      });
      return;
    }
    case "bucket":
      world.bucket.silent = true;
      world.time.after(random.int(1000, 900_000), () => world.bucket.heal());
      return;
    case "kill":
      world.kill(random.int(100, 20_000));
      return;
    case "stop": {
      const { life } = world;
      void life?.stop().then(() => {
        if (world.life === life) world.kill(random.int(100, 5_000));
      });
      return;
    }
  }
}

function freeze(world: RunnerWorld, milliseconds: number): void {
  const faults = { ...noDatabaseFaults, frozen: true };
  world.database.faults = faults;
  world.time.after(milliseconds, () => {
    if (world.database.faults === faults) world.database.heal();
  });
}

function addBuilds(world: RunnerWorld, random: SeededRandom): void {
  const count = random.int(1, 3);
  for (let i = 0; i < count; i++) {
    world.database.addBuild({
      jobset: random.int(1, 2),
      drvPath: `${storeDir}/${random.pick([...world.derivations.values()]).drv}`,
      priority: random.pick([50, 100]),
      globalPriority: random.chance(0.2) ? 1 : 0,
    });
  }
}
