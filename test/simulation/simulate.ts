/** `simulate [--seeds N] [--first-seed S]`: many seeds; exit code 1 when one breaks an invariant. */
import { parseArgs } from "node:util";
import { makePlan } from "./plan.js";
import { report } from "./shrink.js";
import { simulate } from "./simulation.js";

const { values } = parseArgs({
  options: { seeds: { type: "string", default: "10000" }, "first-seed": { type: "string", default: "1" } },
});
const first = Number(values["first-seed"]);
const seeds = Number(values.seeds);
let events = 0;
let failures = 0;
for (let seed = first; seed < first + seeds; seed++) {
  const plan = makePlan(seed);
  try {
    events += simulate(plan).events;
  } catch (error) {
    failures++;
    console.log(report(plan, error instanceof Error ? error : new Error(String(error))));
  }
}
console.log(`${seeds} seeds run, ${events} events, ${failures} failures`);
process.exitCode = failures > 0 ? 1 : 0;
