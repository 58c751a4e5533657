// Tries step orders, and a farm twice as large, on a trace that `queue-runner export-trace` wrote.
import { readFile } from "node:fs/promises";
import { parseTrace, type ReplayPolicy, replay } from "hydra-runner/testing";

const trace = parseTrace(await readFile(process.argv[2] ?? "trace.json", "utf8"));
const policies: Readonly<Record<string, ReplayPolicy>> = {
  "as configured": {},
  "critical path first": { stepOrder: "WithCriticalPath" },
  "short steps first": { stepOrder: (a, b) => a.expectedMs - b.expectedMs },
  "twice the slots": { machines: trace.machines.map((one) => ({ ...one, maxJobs: 2 * one.maxJobs })) },
};
for (const [name, policy] of Object.entries(policies)) {
  const { makespanMs, jobsets, machines } = replay(trace, policy);
  console.log(`${name}: ${Math.round(makespanMs / 1000)} s`);
  for (const [jobset, { builds }] of jobsets)
    console.log(`  ${jobset}: half of ${builds.count} builds within ${Math.round(builds.medianMs / 1000)} s`);
  for (const [machine, { use }] of machines) console.log(`  ${machine}: ${Math.round(100 * use)} % in use`);
}
