/** From a failing history to a smaller one, and to what is printed of it. */
import type { Plan } from "./plan.js";
import type { RunnerPlan } from "./runner/runner-plan.js";
import { simulateRunner } from "./runner/runner-world.js";
import { simulate } from "./simulation.js";

interface History {
  readonly seed: number;
  readonly events: readonly { readonly at: number; readonly kind: string; readonly seed: number }[];
}

/** The failure of a plan, or undefined when it holds. */
type FailureOf<P> = (plan: P) => Promise<Error | undefined>;

async function failureOf(run: () => unknown): Promise<Error | undefined> {
  try {
    await run();
    return undefined;
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

export const schedulerFailure: FailureOf<Plan> = (plan) => failureOf(() => simulate(plan));
export const runnerFailure: FailureOf<RunnerPlan> = (plan) => failureOf(() => simulateRunner(plan));

/** Leaves out events, in ever smaller pieces, as long as the plan still fails. */
async function shrink<P extends History>(plan: P, failure: FailureOf<P>, budget = 300): Promise<P> {
  let smallest = plan;
  let runs = 0;
  for (let size = Math.max(1, plan.events.length >> 1); size >= 1; size >>= 1) {
    for (let from = 0; from < smallest.events.length && runs < budget; runs++) {
      const events = [...smallest.events.slice(0, from), ...smallest.events.slice(from + size)];
      const smaller = { ...smallest, events };
      if ((await failure(smaller)) === undefined) from += size;
      else smallest = smaller;
    }
  }
  return smallest;
}

/** What to print for a failing seed. */
export async function report<P extends History>(
  plan: P,
  error: Error,
  failure: FailureOf<P>,
): Promise<string> {
  const { events } = await shrink(plan, failure);
  return [
    `seed ${plan.seed}: ${error.message}`,
    `${events.length} of ${plan.events.length} events:`,
    ...events.map(({ at, kind, seed }) => `  ${at} ms ${kind} (${seed})`),
  ].join("\n");
}
