// A scheduler with an order of one's own: what most others wait for goes first.
import { attemptId, buildId, jobsetId, machineId, Scheduler, stepId } from "hydra-runner/scheduler";

const scheduler = new Scheduler({
  stepOrder: (a, b) => b.dependents - a.dependents,
  machineOrder: ({ info, jobs }) => info.speedFactor / (1 + jobs),
});
scheduler.upsertJobset({ id: jobsetId(1), project: "demo", name: "main", shares: 100 });
const inputs: Readonly<Record<string, readonly string[]>> = {
  zlib: [],
  gmp: [],
  png: ["zlib"],
  gcc: ["zlib", "gmp"],
};
const steps = Object.entries(inputs).map(([name, needs]) => ({
  id: stepId(`${name}.drv`),
  name,
  system: "x86_64-linux",
  features: [],
  inputs: needs.map((input) => ({ id: stepId(`${input}.drv`) })),
  expectedDurationMs: 60_000,
}));
scheduler.addSteps(steps, 0);
const common = { jobset: jobsetId(1), globalPriority: 0, localPriority: 100, timestamp: 0 };
for (const [index, name] of ["png", "gcc"].entries())
  scheduler.addBuild({ ...common, id: buildId(index + 1), step: stepId(`${name}.drv`) }, 0);
const machine = {
  systems: ["x86_64-linux"],
  supportedFeatures: [],
  mandatoryFeatures: [],
  cpuCount: 4,
  bogomips: 4000,
};
const thresholds = { buildDirAvailThreshold: 0, storeAvailThreshold: 0, load1Threshold: 8 };
const pressure = { cpuPsiThreshold: 100, memPsiThreshold: 100 };
for (const [hostname, speedFactor] of [
  ["slow", 1],
  ["fast", 4],
] as const)
  scheduler.addMachine(
    { ...machine, ...thresholds, ...pressure, id: machineId(hostname), hostname, speedFactor, maxJobs: 1 },
    0,
    Math.random,
  );
let now = 0;
let attempts = 0;
for (;;) {
  const assigned = scheduler.assign(now, () => attemptId(`a${attempts++}`));
  if (assigned.length === 0) break;
  console.log(
    `minute ${now / 60_000}: ${assigned.map(({ step, machine: on }) => `${step} on ${on}`).join(", ")}`,
  );
  now += 60_000;
  for (const { attempt } of assigned) scheduler.complete(attempt, { kind: "succeeded" }, now, Math.random);
}
