/** The part of the queue monitor: steps and builds get into the scheduler. */
import { buildId, jobsetId, type NewStep } from "../../../lib/scheduler/index.js";
import type { SeededRandom } from "../../../lib/testing/simulated/seeded-random.js";
import { record } from "./outcomes.js";
import { idOf, type SimBuild, type World } from "./world.js";

/** A new build of some step. */
export function addBuild(world: World, random: SeededRandom): void {
  const build: SimBuild = {
    id: buildId(world.builds.size + 1),
    jobset: random.int(0, world.plan.jobsets - 1),
    step: random.pick([...world.plan.steps.keys()]),
    globalPriority: random.chance(0.2) ? random.int(1, 3) : 0,
    localPriority: random.pick([50, 100, 100, 100]),
    outcome: "none",
  };
  world.builds.set(build.id, build);
  ingest(world, build, random);
}

/** What the queue monitor does: walk the unfinished closure, add steps, add the build. */
export function ingest(world: World, build: SimBuild, random: SeededRandom): void {
  if (world.valid.has(build.step)) {
    build.outcome = "finished";
    return;
  }
  const batch = new Map<string, NewStep>();
  const stack = [build.step];
  for (let name = stack.pop(); name !== undefined; name = stack.pop()) {
    const id = idOf(name);
    if (world.valid.has(name) || batch.has(name) || world.scheduler.hasStep(id)) continue;
    const step = world.planned(name);
    world.avoid.delete(id);
    world.resolved.delete(name);
    world.dynamicPending.delete(name);
    world.dynamicSettled.delete(name);
    world.gated.delete(name);
    const [first] = step.inputs;
    const inputs = step.inputs.map((input) => ({
      name: input,
      chain: step.kind === "dynamic" && input === first ? ["out"] : undefined,
    }));
    if (step.kind === "dynamic" && first !== undefined && world.valid.has(first)) {
      world.dynamicSettled.add(name);
      inputs.push({ name: `${name}!d`, chain: undefined });
    }
    const open = inputs.filter((input) => !world.valid.has(input.name));
    if (step.kind === "gated") startUpload(world, name);
    const carried = world.carry.get(id);
    batch.set(name, {
      id,
      name,
      system: step.system,
      features: step.features,
      preferLocal: step.preferLocal,
      expectedDurationMs: step.expectedMs,
      gate: step.kind === "gated" ? "upload" : undefined,
      inputs: open.map((input) => ({ id: idOf(input.name), chain: input.chain })),
      ...(carried === undefined ? {} : carried),
    });
    for (const input of open) stack.push(input.name);
  }
  const order = [...batch.values()];
  if (random.chance(0.5)) order.reverse();
  world.scheduler.addSteps(order, world.now);
  world.scheduler.addBuild(
    {
      id: build.id,
      jobset: jobsetId(build.jobset),
      step: idOf(build.step),
      globalPriority: build.globalPriority,
      localPriority: build.localPriority,
      timestamp: 0,
      timeout: random.chance(0.3) ? random.int(30, 300) : undefined,
    },
    world.now,
  );
}

function startUpload(world: World, name: string): void {
  const token = world.token();
  world.gated.set(name, token);
  world.at(world.now + world.random.int(0, 60_000), () => {
    const id = idOf(name);
    if (world.gated.get(name) !== token || !world.scheduler.hasStep(id)) return;
    world.gated.delete(name);
    if (world.random.chance(0.5)) return world.scheduler.ungate(id, world.now);
    record(world, world.scheduler.finishStep(id, world.now));
  });
}
