// The running scheduler: no effect is lost, wherever it comes from, and rounds follow changes.
import { describe, expect, it } from "vitest";
import { type RunnerEffect, RunningScheduler } from "../../../lib/runner/state/running-scheduler.js";
import { attemptId, buildId, jobsetId, machineId, stepId } from "../../../lib/scheduler/ids.js";
import { machineInfo } from "../../support/machine-info.js";

const build = { globalPriority: 0, localPriority: 100, timestamp: 0 };

/** Two inputs of one build, each running on a machine of its own; losing one orphans the other. */
function twoRunning(connected = true) {
  const effects: RunnerEffect[] = [];
  let rounds = 0;
  let now = 1_000;
  let attempts = 0;
  const scheduler = new RunningScheduler(
    { abortOrphans: "always", retry: { maxTries: 1 } },
    { now: () => now, random: () => 0.5 },
  );
  const performer = { perform: (effect: RunnerEffect) => void effects.push(effect) };
  const connect = (): void => scheduler.connect(performer, { trigger: () => void rounds++ });
  if (connected) connect();
  scheduler.upsertJobset({ id: jobsetId(1), project: "p", name: "j", shares: 1 });
  const step = (name: string, inputs: readonly string[]) => ({
    id: stepId(name),
    name,
    system: "x86_64-linux",
    features: [],
    inputs: inputs.map((id) => ({ id: stepId(id) })),
  });
  scheduler.addSteps([step("a", []), step("b", []), step("top", ["a", "b"])]);
  scheduler.addBuild({ id: buildId(1), jobset: jobsetId(1), step: stepId("top"), ...build });
  for (const id of ["m1", "m2"]) {
    scheduler.addMachine(machineInfo(id), []);
  }
  const [first, second] = scheduler.assign(() => attemptId(`attempt-${++attempts}`));
  if (first === undefined || second === undefined) throw new Error("both inputs should run");
  for (const { attempt } of [first, second]) {
    scheduler.sent(attempt);
    scheduler.acknowledged(attempt);
  }
  return {
    scheduler,
    effects,
    first,
    second,
    connect,
    rounds: () => rounds,
    pass: (ms: number) => {
      now += ms;
    },
  };
}

describe("effects", () => {
  it("of a completion are performed within the call, and the caller does not get them", () => {
    const { scheduler, effects, first, second } = twoRunning();
    const completion = scheduler.complete(first.attempt, { kind: "failed", status: 1 });
    expect(completion).toMatchObject({ kind: "failed", builds: [{ id: 1, own: false }] });
    expect(completion).not.toHaveProperty("effects");
    expect(effects).toMatchObject([{ kind: "abortAttempt", attempt: second.attempt }]);
  });

  it("inside the completion of another effect are performed after it", () => {
    const { scheduler, effects, first, second } = twoRunning();
    scheduler.removeMachine(first.machine);
    expect(effects.map((effect) => effect.kind)).toEqual(["machineLost", "attemptEnded", "abortAttempt"]);
    const [, ended, abort] = effects;
    expect(ended).toMatchObject({ attempt: first.attempt, completion: { kind: "failed" } });
    expect(ended).not.toHaveProperty("completion.effects");
    expect(abort).toMatchObject({ attempt: second.attempt });
  });

  it("of timers are performed by `advance`", () => {
    const { scheduler, effects, first, second, pass } = twoRunning();
    pass(24 * 3_600_000);
    scheduler.advance();
    const ended = effects.filter((effect) => effect.kind === "attemptEnded").map(({ attempt }) => attempt);
    expect(ended).toEqual(expect.arrayContaining([first.attempt]));
    expect(effects.map((effect) => effect.kind)).toContain("machineLost");
    expect(scheduler.view.attempt(second.attempt)?.phase).not.toBe("building");
  });

  it("of a build that is removed abort what only it needed", () => {
    const { scheduler, effects } = twoRunning();
    scheduler.removeBuild(buildId(1));
    expect(effects.map((effect) => effect.kind)).toEqual(["abortAttempt", "abortAttempt"]);
  });

  it("and rounds from before `connect` follow then", () => {
    const { scheduler, effects, first, second, connect, rounds } = twoRunning(false);
    scheduler.complete(first.attempt, { kind: "failed", status: 1 });
    expect([effects, rounds()]).toEqual([[], 0]);
    connect();
    expect(effects).toMatchObject([{ kind: "abortAttempt", attempt: second.attempt }]);
    expect(rounds()).toBe(1);
  });
});

describe("rounds", () => {
  it("follow changes, but neither news of running attempts nor the parts of a round", () => {
    const { scheduler, first, rounds } = twoRunning();
    const before = rounds();
    scheduler.acknowledged(first.attempt);
    scheduler.sent(first.attempt);
    scheduler.advance();
    scheduler.assign(() => attemptId("none"));
    expect(rounds()).toBe(before);
    scheduler.buildEnded(first.attempt);
    expect(rounds()).toBe(before + 1);
    scheduler.drainMachine(first.machine);
    scheduler.resumeMachine(first.machine);
    expect(rounds()).toBe(before + 3);
  });
});

describe("a report of a machine's load", () => {
  const load = { load1: 0, buildDirFreePercent: 100, storeFreePercent: 100, pressure: undefined };

  it("requests no round while no step could start", () => {
    const { scheduler, first, rounds } = twoRunning();
    expect(scheduler.assign(() => attemptId("none"))).toEqual([]);
    const before = rounds();
    for (let n = 0; n < 10; n++) scheduler.updateMachine(first.machine, load);
    expect(rounds()).toBe(before);
  });

  it("requests one when the machine can take a step that waits for it", () => {
    const { scheduler, rounds } = twoRunning();
    const id = stepId("c");
    scheduler.addSteps([{ id, name: "c", system: "aarch64-linux", features: [], inputs: [] }]);
    scheduler.addBuild({ id: buildId(2), jobset: jobsetId(1), step: id, ...build });
    const machine = machineId("arm");
    const { info } = scheduler.machines()[0] ?? {};
    if (info === undefined) throw new Error("no machine");
    scheduler.addMachine({ ...info, id: machine, systems: ["aarch64-linux"], storeAvailThreshold: 50 }, []);
    scheduler.updateMachine(machine, { ...load, storeFreePercent: 1 });
    expect(scheduler.assign(() => attemptId("early"))).toEqual([]);
    const before = rounds();
    scheduler.updateMachine(machine, { ...load, storeFreePercent: 2 });
    expect(rounds()).toBe(before);
    scheduler.updateMachine(machine, load);
    expect(rounds()).toBe(before + 1);
    expect(scheduler.assign(() => attemptId("late"))).toMatchObject([{ step: id, machine }]);
  });
});
