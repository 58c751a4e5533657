// The scheduler on its own: three packages, two machines, and time as a plain number.
import {
  type AttemptId,
  attemptId,
  buildId,
  jobsetId,
  type MachineInfo,
  machineId,
  type NewStep,
  Scheduler,
  stepId,
} from "hydra-runner/scheduler";

const scheduler = new Scheduler({ machineOrder: "SpeedFactorOnly", stepOrder: "WithCriticalPath" });
let now = Date.UTC(2026, 0, 1);
let attempts = 0;
const nextAttempt = (): AttemptId => attemptId(`attempt-${++attempts}`);
const never = (): number => 0;

// What to build: `app` depends on `lib` and `docs`, and `docs` requires the system feature kvm.
const step = (name: string, inputs: string[], minutes: number, features: string[] = []): NewStep => ({
  id: stepId(`${name}.drv`),
  name,
  system: "x86_64-linux",
  features,
  inputs: inputs.map((input) => ({ id: stepId(`${input}.drv`) })),
  expectedDurationMs: minutes * 60_000,
});
scheduler.upsertJobset({ id: jobsetId(1), project: "demo", name: "main", shares: 100 });
scheduler.addSteps([step("lib", [], 5), step("docs", [], 1, ["kvm"]), step("app", ["lib", "docs"], 2)], now);
scheduler.addBuild(
  {
    id: buildId(1),
    jobset: jobsetId(1),
    step: stepId("app.drv"),
    globalPriority: 0,
    localPriority: 100,
    timestamp: 0,
  },
  now,
);

// Where to build: a fast machine, and a slow one that has KVM.
const machine = (hostname: string, speedFactor: number, supportedFeatures: string[]): MachineInfo => ({
  id: machineId(hostname),
  hostname,
  systems: ["x86_64-linux"],
  supportedFeatures,
  mandatoryFeatures: [],
  cpuCount: 4,
  bogomips: 4000,
  speedFactor,
  maxJobs: 1,
  buildDirAvailThreshold: 0,
  storeAvailThreshold: 0,
  load1Threshold: 8,
  cpuPsiThreshold: 100,
  memPsiThreshold: 100,
});
for (const info of [machine("fast", 4, []), machine("slow", 1, ["kvm"])]) {
  scheduler.addMachine(info, now, never);
  scheduler.updateMachine(info.id, { load1: 0, buildDirFreePercent: 50, storeFreePercent: 50 }, now);
}

// Assign steps, pretend that all of them succeed a minute later, repeat.
for (;;) {
  const assignments = scheduler.assign(now, nextAttempt);
  if (assignments.length === 0) break;
  for (const { step: id, machine: on } of assignments) console.log(`${id} goes to ${on}`);
  const waiting = scheduler.why(stepId("app.drv"), now);
  if (waiting.code === "waitingForInputs") console.log(`app.drv waits for ${waiting.inputs.join(" and ")}`);
  now += 60_000;
  for (const { attempt } of assignments) {
    const completion = scheduler.complete(attempt, { kind: "succeeded" }, now, never);
    if (completion.kind === "finished" && completion.ownBuilds.length > 0) {
      console.log(`build ${completion.ownBuilds.join()} is done`);
    }
  }
}
