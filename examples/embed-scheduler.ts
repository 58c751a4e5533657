// The scheduler on its own: three packages, two machines, and time as a plain number.
import { attemptId, jobsetId, newBuild, newMachine, newStep, Scheduler } from "hydra-runner/scheduler";

const scheduler = new Scheduler({ machineOrder: "SpeedFactorOnly", stepOrder: "WithCriticalPath" });
const never = (): number => 0;
const [system, minute] = ["x86_64-linux", 60_000];
let now = Date.UTC(2026, 0, 1);

// What to build: `app` depends on `lib` and `docs`, and `docs` requires the system feature kvm.
const lib = newStep({ id: "lib.drv", system, expectedDurationMs: 5 * minute });
const docs = newStep({ id: "docs.drv", system, features: ["kvm"], expectedDurationMs: minute });
const app = newStep({ id: "app.drv", system, inputs: [lib.id, docs.id], expectedDurationMs: 2 * minute });
scheduler.upsertJobset({ id: jobsetId(1), project: "demo", name: "main", shares: 100 });
scheduler.addSteps([lib, docs, app], now);
const build = newBuild({ id: 1, jobset: 1, step: app.id });
scheduler.addBuild(build, now);

// Where to build: a fast machine, and a slow one that has KVM.
const fast = newMachine({ hostname: "fast", systems: [system], speedFactor: 4 });
const slow = newMachine({ hostname: "slow", systems: [system], supportedFeatures: ["kvm"] });
for (const machine of [fast, slow]) scheduler.addMachine(machine, now, never);

// Assign steps, pretend that all of them succeed a minute later, repeat.
let attempts = 0;
for (; scheduler.hasBuild(build.id); now += minute) {
  const assignments = scheduler.assign(now, () => attemptId(`attempt-${++attempts}`));
  for (const { step, machine } of assignments) console.log(`${step} goes to ${machine}`);
  const waiting = scheduler.why(app.id, now);
  if (waiting.code === "waitingForInputs") console.log(`app.drv waits for ${waiting.inputs.join(" and ")}`);
  for (const { attempt } of assignments) {
    const completion = scheduler.complete(attempt, { kind: "succeeded" }, now + minute, never);
    if (completion.kind === "finished" && completion.ownBuilds.length > 0)
      console.log(`build ${completion.ownBuilds.join()} is done`);
  }
}
