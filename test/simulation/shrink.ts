import type { Plan, PlannedEvent } from "./plan.js";
import { simulate } from "./simulation.js";

/** The failure of a plan, or undefined when it holds. */
export function failureOf(plan: Plan): Error | undefined {
  try {
    simulate(plan);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

/** Leaves out events, in ever smaller pieces, as long as the plan still fails. */
export function shrink(plan: Plan, budget = 300): Plan {
  let events: readonly PlannedEvent[] = plan.events;
  let runs = 0;
  for (let size = Math.max(1, events.length >> 1); size >= 1; size >>= 1) {
    for (let from = 0; from < events.length && runs < budget; runs++) {
      const fewer = [...events.slice(0, from), ...events.slice(from + size)];
      if (failureOf({ ...plan, events: fewer }) === undefined) from += size;
      else events = fewer;
    }
  }
  return { ...plan, events };
}

/** What to print for a failing seed. */
export function report(plan: Plan, error: Error): string {
  const small = shrink(plan);
  const events = small.events.map(({ at, kind, seed }) => `  ${at} ms ${kind} (${seed})`);
  return [
    `seed ${plan.seed}: ${error.message}`,
    `${events.length} of ${plan.events.length} events:`,
    ...events,
  ].join("\n");
}
