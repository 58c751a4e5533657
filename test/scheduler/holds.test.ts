// When a machine is held, when it is not, and what it gets afterwards.
import { describe, expect, it } from "vitest";
import { type MachineFault, machineId } from "../../lib/scheduler/index.js";
import { World } from "./world.js";

/** Steps `s0`, `s1`, … with a build for each. */
function steps(world: World, count: number, prefix = "s"): void {
  for (let i = 0; i < count; i++) {
    world.step(`${prefix}${i}`);
    world.build((prefix.codePointAt(0) ?? 0) * 1000 + i, `${prefix}${i}`);
  }
}

/** `m` is the better machine; `spare` can do the same. */
function twoMachines(options = {}): World {
  const world = new World({
    breaker: { failures: 2, holdMs: 1000, jitterMs: 0, backoff: 3 },
    retry: { intervalMs: 10, backoff: 1, jitterMs: 0 },
    ...options,
  });
  world.machine("m", { maxJobs: 2, speedFactor: 9 });
  world.machine("spare", { maxJobs: 9 });
  return world;
}

const blockOf = (world: World, name: string) => world.scheduler.machine(machineId(name), world.now)?.block;

/** Starts steps until `m` has as many jobs as it takes, and lets those fail. */
function breakM(world: World, fault?: MachineFault): void {
  for (const assignment of world.assign()) {
    if (assignment.machine === "m") world.trouble(assignment, fault);
    else world.succeed(assignment);
  }
}

describe("a machine", () => {
  it("is held after faults at different steps in a row, tried with one job, and trusted after a success", () => {
    const world = twoMachines();
    steps(world, 2);
    breakM(world);
    expect(blockOf(world, "m")).toMatchObject({ kind: "held", failures: 2, fault: "sandbox" });
    world.advance(1000);
    // Those that failed go to the spare machine; the others fill it, and one is left for the trial.
    steps(world, 12, "t");
    const onTrial = world.assign().filter(({ machine }) => machine === "m");
    expect(onTrial.map(({ tries }) => tries)).toEqual([0]);
    const [probe] = onTrial;
    if (probe === undefined) throw new Error("no trial job");
    world.trouble(probe);
    expect(blockOf(world, "m")).toMatchObject({ kind: "held", until: world.now + 3000 });
    world.advance(3000);
    steps(world, 3, "u");
    const again = world.assign().filter(({ machine }) => machine === "m");
    expect(again).toHaveLength(1);
    for (const assignment of again) world.succeed(assignment);
    expect(world.assign().filter(({ machine }) => machine === "m")).toHaveLength(2);
  });

  it("is not held for scripts that fail in a way that Nix calls transient, however many", () => {
    const world = twoMachines();
    steps(world, 6);
    for (let round = 0; round < 4; round++) {
      for (const assignment of world.assign()) world.deadDownload(assignment);
      world.advance(10);
    }
    expect(world.notices).toEqual([]);
    expect(world.scheduler.counters().holds).toBe(0);
    world.step("healthy");
    world.build(1, "healthy");
    expect(world.assign().map(({ step }) => step)).toContain("healthy");
  });

  it("is not held because of builds when it is the last of its system", () => {
    const world = new World({ breaker: { failures: 1, holdMs: 1000 } });
    world.machine("m");
    world.machine("other", { systems: ["aarch64-linux"] });
    steps(world, 3);
    for (const fault of ["sandbox", "diskFull", "inputs"] as const) world.trouble(world.next(), fault);
    expect(world.notices).toEqual([]);
    expect(blockOf(world, "m")).toBeUndefined();
  });

  it("is released when it becomes the last of its system", () => {
    const world = twoMachines();
    steps(world, 2);
    breakM(world);
    expect(blockOf(world, "m")).toMatchObject({ kind: "held" });
    world.scheduler.drainMachine(machineId("spare"), world.now);
    expect(blockOf(world, "m")).toBeUndefined();
    expect(world.notices.at(-1)).toMatchObject({ kind: "released", machine: "m", because: "needed" });
    world.advance(10);
    expect(world.assign()).toHaveLength(2);
  });

  it("that is the last of its system is held for lost connections, no longer than the first hold", () => {
    const world = new World({
      breaker: { failures: 1, holdMs: 1000, jitterMs: 0 },
      retry: { intervalMs: 100_000 },
    });
    for (const name of ["first", "second", "third"]) {
      steps(world, 1, name);
      world.machine(name, { hostname: "flaky" });
      world.advance(1000);
      const { attempt } = world.next();
      world.scheduler.sent(attempt, world.now);
      world.scheduler.removeMachine(machineId(name), world.now, () => 0);
    }
    world.machine("fourth", { hostname: "flaky" });
    expect(blockOf(world, "fourth")).toMatchObject({ kind: "held", until: world.now + 1000 });
    steps(world, 1, "x");
    world.advance(1000);
    expect(world.assign()).toHaveLength(1);
  });

  it("on trial gets no step that has failed before, and is needed when only such steps are left", () => {
    const world = twoMachines();
    steps(world, 2);
    breakM(world);
    world.scheduler.updateMachine(
      machineId("spare"),
      { load1: 0, buildDirFreePercent: 1, storeFreePercent: 1 },
      world.now,
    );
    world.advance(1000);
    // The step that failed on m goes to the spare machine although m has room.
    expect(world.assign().map(({ machine }) => machine)).toEqual(["spare", "spare"]);
    expect(world.scheduler.machine(machineId("m"), world.now)).toMatchObject({ onTrial: true, jobs: 0 });
    world.step("more");
    world.build(7, "more");
    world.scheduler.removeMachine(machineId("spare"), world.now, () => 0);
    world.advance(10);
    expect(world.assign().map(({ step }) => step)).toContain("s0");
  });

  it("is acquitted when the step that failed there finds fault with another machine too", () => {
    const world = twoMachines();
    steps(world, 2);
    breakM(world, "inputs");
    expect(blockOf(world, "m")).toMatchObject({ kind: "held" });
    world.advance(10);
    world.trouble(world.next(), "inputs");
    expect(blockOf(world, "m")).toBeUndefined();
    expect(blockOf(world, "spare")).toBeUndefined();
    expect(world.notices).toMatchObject([
      { kind: "held", fault: "inputs" },
      { kind: "released", because: "acquitted" },
    ]);
  });

  it("that is lost with steps that were lost before is not to blame", () => {
    const world = new World({ breaker: { failures: 1, holdMs: 1000 }, retry: { intervalMs: 1, backoff: 1 } });
    steps(world, 1);
    for (const [round, held] of [true, false].entries()) {
      const name = `m${round}`;
      world.machine(name);
      const { attempt } = world.next();
      world.scheduler.sent(attempt, world.now);
      world.scheduler.removeMachine(machineId(name), world.now, () => 0);
      world.machine(`again${round}`, { hostname: name });
      expect(blockOf(world, `again${round}`)?.kind).toBe(held ? "held" : undefined);
      world.scheduler.removeMachine(machineId(`again${round}`), world.now, () => 0);
      world.advance(10_000);
    }
  });
});

describe("a hold", () => {
  it("and its end are noticed, with machine, step, reason and time", () => {
    const world = twoMachines();
    steps(world, 2);
    breakM(world, "diskFull");
    const { now } = world;
    world.advance(1000);
    steps(world, 12, "t");
    for (const assignment of world.assign()) world.succeed(assignment);
    expect(world.notices).toEqual([
      {
        kind: "held",
        machine: "m",
        hostname: "m",
        fault: "diskFull",
        reason: "trouble",
        step: "s1",
        failures: 2,
        until: now + 1000,
      },
      { kind: "released", machine: "m", hostname: "m", because: "trial" },
    ]);
  });
});

describe("a step whose tries are used up", () => {
  it("ends as what it is: failed when its own script failed, aborted when there was trouble around it", () => {
    const world = twoMachines({ retry: { maxTries: 2, intervalMs: 1, jitterMs: 0 } });
    world.step("own");
    world.build(1, "own");
    world.deadDownload(world.next());
    world.advance(1);
    expect(world.deadDownload(world.next())).toMatchObject({ kind: "failed", status: 1, tries: 2 });
    world.step("around");
    world.build(2, "around");
    world.trouble(world.next());
    world.advance(1);
    expect(world.trouble(world.next())).toMatchObject({ kind: "failed", status: 3, tries: 2 });
  });
});
