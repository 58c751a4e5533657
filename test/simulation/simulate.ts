/**
 * `simulate [--seeds N] [--runner-seeds N] [--first-seed S]`: many seeds of the scheduler's simulation and of the
 * runner's; exit code 1 when one breaks an invariant. Without any number both run.
 */
import { parseArgs } from "node:util";
import { makePlan } from "./plan.js";
import { makeRunnerPlan } from "./runner/runner-plan.js";
import { simulateRunner } from "./runner/runner-world.js";
import { report, runnerFailure, schedulerFailure } from "./shrink.js";
import { simulate } from "./simulation.js";

const { values } = parseArgs({
  options: {
    seeds: { type: "string" },
    "runner-seeds": { type: "string" },
    "first-seed": { type: "string", default: "1" },
  },
});
const first = Number(values["first-seed"]);
const both = values.seeds === undefined && values["runner-seeds"] === undefined;
const seeds = Number(values.seeds ?? (both ? 10_000 : 0));
const runnerSeeds = Number(values["runner-seeds"] ?? (both ? 1_000 : 0));
let events = 0;
let failures = 0;

function fail(text: string): void {
  failures++;
  console.log(text);
}

const toError = (error: unknown): Error => (error instanceof Error ? error : new Error(String(error)));

for (let seed = first; seed < first + seeds; seed++) {
  const plan = makePlan(seed);
  try {
    events += simulate(plan).events;
  } catch (error) {
    fail(`scheduler, ${await report(plan, toError(error), schedulerFailure)}`);
  }
}
for (let seed = first; seed < first + runnerSeeds; seed++) {
  const plan = makeRunnerPlan(seed);
  try {
    events += (await simulateRunner(plan)).events;
  } catch (error) {
    fail(`runner, ${await report(plan, toError(error), runnerFailure)}`);
  }
}
console.log(`${seeds + runnerSeeds} seeds run, ${events} events, ${failures} failures`);
process.exitCode = failures > 0 ? 1 : 0;
