/** What the scheduler should know, computed from the world alone. */
import type { StepId } from "../../../lib/scheduler/index.js";
import type { Expected } from "../oracle.js";
import { idOf, nameOf, type World } from "./world.js";

/** From the builds that are not over, down to what they still need. */
export function expectedState(world: World): Expected {
  const inputs = new Map<StepId, Set<StepId>>();
  const stack = [...world.builds.values()].filter((b) => b.outcome === "none").map((b) => b.step);
  const seen = new Set<string>();
  for (let name = stack.pop(); name !== undefined; name = stack.pop()) {
    if (seen.has(name) || world.valid.has(name)) continue;
    seen.add(name);
    if (world.resolved.has(name)) {
      inputs.set(idOf(`${name}!r`), new Set());
      continue;
    }
    const open = world.planned(name).inputs.filter((input) => !world.valid.has(input));
    if (world.dynamicSettled.has(name) && !world.valid.has(`${name}!d`)) open.push(`${name}!d`);
    stack.push(...open);
    inputs.set(
      idOf(name),
      new Set(open.map((input) => idOf(world.resolved.has(input) ? `${input}!r` : input))),
    );
  }
  for (const name of world.resolved) {
    const id = idOf(`${name}!r`);
    if (!inputs.has(id) && !world.anyRunning(id)) world.resolved.delete(name);
  }
  return {
    inputs,
    avoid: world.avoid,
    unsupportedSince: world.unsupportedSince,
    faulty: world.faulty,
    held: (id) => world.gated.has(nameOf(id)) || world.dynamicPending.has(nameOf(id)),
    expectedMs: (id) => world.planned(nameOf(id)).expectedMs ?? world.scheduler.options.defaultDurationMs,
  };
}
