/** What happens to the world by the plan: builds come and go, machines join, fail and vanish, the runner restarts. */
import { type MachineInfo, machineId } from "../../../lib/scheduler/index.js";
import { SeededRandom } from "../../../lib/testing/simulated/seeded-random.js";
import { makeOptions, type PlannedEvent } from "../plan.js";
import { addBuild, ingest } from "./ingesting.js";
import { apply, record } from "./outcomes.js";
import { allFeatures, goodLoad, type SimBuild, type SimMachine, type World } from "./world.js";

/** Lets a planned event happen. */
export function happen(world: World, { kind, seed }: PlannedEvent): void {
  const random = new SeededRandom(seed);
  const scheduler = world.scheduler;
  const build = (): SimBuild | undefined => {
    const open = [...world.builds.values()].filter(({ outcome }) => outcome === "none");
    return open.length === 0 ? undefined : random.pick(open);
  };
  switch (kind) {
    case "build":
      addBuild(world, random);
      return;
    case "cancel": {
      const chosen = build();
      if (chosen === undefined) return;
      chosen.outcome = "removed";
      apply(world, scheduler.removeBuild(chosen.id, world.now));
      return;
    }
    case "bump": {
      const chosen = build();
      if (chosen === undefined) return;
      chosen.globalPriority = random.int(-2, 5);
      scheduler.setBuildPriority(chosen.id, chosen, world.now);
      return;
    }
    case "join":
      join(world, random);
      return;
    case "shares": {
      const jobset = random.int(0, world.plan.jobsets - 1);
      world.shares[jobset] = random.int(0, 3) * 100;
      world.upsertJobset(scheduler, jobset);
      return;
    }
    case "settings":
      scheduler.setOptions(makeOptions(random), world.now);
      return;
    case "restart":
      restart(world, random);
      return;
    case "finish":
    case "failStep":
      fromOutside(world, kind, random);
      return;
    case "stall": {
      const running = [...world.running.values()];
      if (running.length > 0) random.pick(running).mute = true;
      return;
    }
    case "kill":
    case "silence":
    case "drain":
    case "resume":
    case "disconnect":
    case "load":
    case "rejoin": {
      const alive = [...world.machines.values()].filter((machine) => machine.alive);
      if (alive.length > 0) happenTo(world, random.pick(alive), kind, random);
    }
  }
}

function happenTo(
  world: World,
  machine: SimMachine,
  kind: "kill" | "silence" | "drain" | "resume" | "disconnect" | "load" | "rejoin",
  random: SeededRandom,
): void {
  const scheduler = world.scheduler;
  const { id } = machine.info;
  switch (kind) {
    case "kill":
      machine.alive = false;
      apply(world, scheduler.removeMachine(id, world.now, world.random.next));
      return;
    case "silence":
      machine.silent = true;
      return;
    case "drain":
      scheduler.drainMachine(id, world.now);
      return;
    case "resume":
      scheduler.resumeMachine(id, world.now);
      return;
    case "disconnect":
      machine.silent = true;
      scheduler.disconnectMachine(id, world.now + 20_000, world.now);
      return;
    case "load":
      machine.load = { ...goodLoad, load1: random.int(0, 20), storeFreePercent: random.int(0, 90) };
      scheduler.updateMachine(id, machine.load, world.now);
      return;
    case "rejoin": {
      machine.silent = false;
      const kept = [...world.running.values()].filter(
        ({ assignment }) => assignment.machine === id && random.chance(0.5),
      );
      const ids = kept.map(({ assignment }) => assignment.attempt);
      // It may have got another configuration meanwhile.
      if (random.chance(0.4)) machine.info = { ...machine.info, ...abilities(random) };
      apply(world, scheduler.addMachine(machine.info, world.now, world.random.next, ids));
      startPings(world, machine);
      return;
    }
  }
}

function join(world: World, random: SeededRandom): void {
  const id = machineId(`m${world.machines.size}`);
  addMachine(world, {
    ...machineDefaults,
    ...abilities(random),
    id,
    hostname: `host${random.int(0, 3)}`,
    cpuCount: random.int(1, 16),
    speedFactor: random.int(1, 3),
    maxJobs: random.int(1, 4),
    storeAvailThreshold: random.pick([0, 0, 10]),
  });
}

function abilities(
  random: SeededRandom,
): Pick<MachineInfo, "systems" | "supportedFeatures" | "mandatoryFeatures"> {
  const supported = allFeatures.filter(() => random.chance(0.5));
  const mandatory = random.chance(0.2) ? [random.pick([...allFeatures, "local"])] : [];
  const all = ["x86_64-linux", "aarch64-linux"];
  return {
    systems: random.chance(0.3) ? all : [random.pick(all)],
    supportedFeatures: [...new Set([...supported, ...mandatory])],
    mandatoryFeatures: mandatory,
  };
}

function addMachine(world: World, info: MachineInfo): void {
  const machine: SimMachine = { info, alive: true, silent: false, load: goodLoad };
  world.machines.set(info.id, machine);
  apply(world, world.scheduler.addMachine(info, world.now, world.random.next));
  startPings(world, machine);
}

function startPings(world: World, machine: SimMachine): void {
  const ping = (): void => {
    if (!machine.alive || machine.silent) return;
    world.scheduler.updateMachine(machine.info.id, machine.load, world.now);
    world.at(world.now + 10_000, ping, true);
  };
  world.at(world.now + 1000, ping, true);
}

/** Something else found the outputs, or a reason to give up. */
function fromOutside(world: World, kind: "finish" | "failStep", random: SeededRandom): void {
  const idle = world.scheduler.steps().filter((step) => step.state !== "running");
  if (idle.length === 0) return;
  const { id } = random.pick(idle);
  if (kind === "finish") record(world, world.scheduler.finishStep(id, world.now));
  else record(world, world.scheduler.failStep(id, 8, world.now));
}

/** The runner dies and comes back: everything but the world itself is forgotten. */
function restart(world: World, random: SeededRandom): void {
  for (const step of world.scheduler.steps()) {
    world.carry.set(step.id, { tries: step.tries, notBefore: step.notBefore });
  }
  const options = world.scheduler.options;
  world.scheduler = world.newScheduler();
  world.scheduler.setOptions(options, world.now);
  world.unsupportedSince.clear();
  world.avoid.clear();
  world.resolved.clear();
  world.gated.clear();
  for (const build of world.builds.values()) if (build.outcome === "none") ingest(world, build, random);
  world.carry.clear();
  for (const machine of world.machines.values()) {
    if (!machine.alive) continue;
    if (machine.silent) machine.alive = false;
    else apply(world, world.scheduler.addMachine(machine.info, world.now, world.random.next));
  }
  for (const [id, { assignment }] of world.running) {
    const kept =
      random.chance(0.5) &&
      world.scheduler.adoptAttempt({ ...assignment, startedAt: world.now }, world.now) !== undefined;
    if (!kept) world.running.delete(id);
  }
}

/** The end of all faults: a machine comes that can do everything. */
export function heal(world: World): void {
  world.healed = true;
  for (const machine of world.machines.values()) {
    if (!machine.alive) continue;
    machine.load = goodLoad;
    world.scheduler.resumeMachine(machine.info.id, world.now);
  }
  addMachine(world, {
    ...machineDefaults,
    id: machineId("rescue"),
    hostname: "rescue",
    systems: ["x86_64-linux", "aarch64-linux"],
    supportedFeatures: allFeatures,
  });
}

const machineDefaults = {
  systems: ["x86_64-linux"],
  supportedFeatures: [] as string[],
  mandatoryFeatures: [] as string[],
  cpuCount: 4,
  bogomips: 4000,
  speedFactor: 1,
  maxJobs: 3,
  buildDirAvailThreshold: 0,
  storeAvailThreshold: 0,
  load1Threshold: 8,
  cpuPsiThreshold: 75,
  memPsiThreshold: 80,
};
