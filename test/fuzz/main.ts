/**
 * `fuzz [--cases N] [--seed S] [--target NAME]`: mutated inputs for every reader of foreign bytes. The last line is a
 * summary; exit code 1 when something was found. The same seed, number of cases and target replay a run.
 */
import { parseArgs } from "node:util";
import { fuzz } from "./run.js";
import { openTargets } from "./targets/index.js";

const { values } = parseArgs({
  options: {
    cases: { type: "string", default: "100000" },
    seed: { type: "string", default: "1" },
    target: { type: "string" },
  },
});
const started = performance.now();
await using open = await openTargets();
const targets = open.targets.filter(({ name }) => values.target === undefined || name === values.target);
if (targets.length === 0) {
  console.error(
    `no target is named ${values.target}; there are: ${open.targets.map((one) => one.name).join(", ")}`,
  );
  process.exit(2);
}
const seed = Number(values.seed);
const report = await fuzz({ targets, cases: Number(values.cases), seed });
for (const [name, count] of [...report.byTarget].sort(([a], [b]) => (a < b ? -1 : 1)))
  console.log(`${count}\t${name}`);
for (const { target, caseNumber, input, what } of report.findings) {
  console.log(`\n${target}, case ${caseNumber}, ${input.length} bytes: ${what}`);
  console.log(`  base64: ${Buffer.from(input).toString("base64").slice(0, 400)}`);
}
const seconds = ((performance.now() - started) / 1000).toFixed(1);
console.log(
  `${report.cases} cases, seed ${seed}, ${targets.length} targets, ${report.findings.length} findings, ${seconds} s`,
);
process.exitCode = report.findings.length > 0 ? 1 : 0;
