// A scheduler with a custom order: what most others wait for goes first.
import { attemptId, jobsetId, newBuild, newMachine, newStep, Scheduler } from "hydra-runner/scheduler";

const scheduler = new Scheduler({
  stepOrder: (a, b) => b.dependents - a.dependents,
  machineOrder: ({ info, jobs }) => info.speedFactor / (1 + jobs),
});
const system = "x86_64-linux";
const inputs = { zlib: [], gmp: [], png: ["zlib.drv"], gcc: ["zlib.drv", "gmp.drv"] };
const steps = Object.entries(inputs).map(([name, needs]) =>
  newStep({ id: `${name}.drv`, system, inputs: needs, expectedDurationMs: 60_000 }),
);
scheduler.upsertJobset({ id: jobsetId(1), project: "demo", name: "main", shares: 100 });
scheduler.addSteps(steps, 0);
scheduler.addBuild(newBuild({ id: 1, jobset: 1, step: "png.drv" }), 0);
scheduler.addBuild(newBuild({ id: 2, jobset: 1, step: "gcc.drv" }), 0);
for (const [hostname, speedFactor] of Object.entries({ slow: 1, fast: 4 }))
  scheduler.addMachine(newMachine({ hostname, systems: [system], speedFactor }), 0, Math.random);

let attempts = 0;
for (let minute = 0; ; minute++) {
  const now = minute * 60_000;
  const assigned = scheduler.assign(now, () => attemptId(`a${attempts++}`));
  if (assigned.length === 0) break;
  console.log(`minute ${minute}: ${assigned.map(({ step, machine }) => `${step} on ${machine}`).join(", ")}`);
  for (const { attempt } of assigned)
    scheduler.complete(attempt, { kind: "succeeded" }, now + 60_000, Math.random);
}
