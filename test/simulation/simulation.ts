/**
 * A world around the scheduler: builds, builders that work, fail, stall and vanish, all in virtual time.
 *
 * `simulate` runs one plan to the end and throws an `InvariantError` as soon as the scheduler breaks a rule. What the
 * world is made of is in `scheduler/`, the rules are in `oracle.ts`.
 */
import { checkState, demand } from "./oracle.js";
import type { Plan } from "./plan.js";
import { assign } from "./scheduler/builders.js";
import { expectedState } from "./scheduler/expected.js";
import { happen, heal } from "./scheduler/happenings.js";
import { apply } from "./scheduler/outcomes.js";
import { World } from "./scheduler/world.js";

export interface SimulationResult {
  readonly events: number;
  readonly builds: number;
  readonly attempts: number;
}

const maxEvents = 60_000;

/** @throws InvariantError when the scheduler breaks a rule */
export function simulate(plan: Plan): SimulationResult {
  const world = new World(plan);
  for (const event of plan.events) world.at(event.at, () => happen(world, event));
  world.at(plan.healAt, () => heal(world));
  let events = 0;
  while (!drained(world)) next(world, ++events);
  shutDown(world);
  return { events, builds: world.builds.size, attempts: world.attempts };
}

function drained(world: World): boolean {
  return world.healed && world.running.size === 0 && world.scheduler.builds().length === 0;
}

/** Lets the next event happen, and checks what the scheduler made of it. */
function next(world: World, event: number): void {
  const { due, scheduler } = world;
  const timer = scheduler.nextEventAt() ?? Number.POSITIVE_INFINITY;
  demand(
    event < maxEvents && (due !== undefined || Number.isFinite(timer)),
    "once faults stop, everything drains",
    () => describe(world),
  );
  let quiet = false;
  if (due !== undefined && due.at <= timer) {
    world.takeDue();
    world.now = Math.max(world.now, due.at);
    quiet = due.quiet;
    due.run();
  } else {
    world.now = Math.max(world.now, timer);
    apply(world, scheduler.advance(world.now, world.random.next));
  }
  const assigned = assign(world);
  // A restart of the runner has made another scheduler.
  if (!quiet || assigned > 0 || event % 8 === 0) checkState(world.scheduler, world.now, expectedState(world));
}

/** Every build has its outcome; without machines, the scheduler forgets everything. */
function shutDown(world: World): void {
  const { scheduler, random } = world;
  for (const { id, outcome } of world.builds.values()) {
    demand(outcome !== "none", "a build has exactly one outcome", () => `${id} has none`);
  }
  for (const [id, machine] of world.machines) {
    if (machine.alive) apply(world, scheduler.removeMachine(id, world.now, random.next));
  }
  world.now += 90_000_000;
  apply(world, scheduler.advance(world.now, random.next));
  apply(world, scheduler.advance(world.now, random.next));
  const { jobsets: _, ...sizes } = scheduler.sizes();
  const left = Object.entries(sizes).filter(([, size]) => size !== 0);
  demand(left.length === 0, "memory returns to zero", () => JSON.stringify(left));
}

function describe(world: World): string {
  const why = world.scheduler.steps().map((step) => world.scheduler.why(step.id, world.now));
  return JSON.stringify({ now: world.now, running: world.running.size, why });
}
