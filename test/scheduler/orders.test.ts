import { describe, expect, it } from "vitest";
import { buildId, jobsetId, type MachineState, machineId } from "../../lib/scheduler/index.js";
import {
  dynamicFree,
  dynamicWithMaxJobLimit,
  staticFree,
} from "../../lib/scheduler/machines/machine-free.js";
import {
  bogomipsWithSpeedFactor,
  cpuCoreCountWithSpeedFactor,
  speedFactorOnly,
} from "../../lib/scheduler/machines/machine-order.js";
import { load, World } from "./world.js";

describe("step orders", () => {
  it("Legacy: local priority, then the oldest build", () => {
    const world = new World({ stepOrder: "Legacy" });
    for (const name of ["a", "b", "c"]) world.step(name);
    world.build(3, "a");
    world.build(2, "b");
    world.build(9, "c", { localPriority: 200 });
    world.machine("m");
    expect(world.order()).toEqual(["c", "b", "a"]);
  });

  it("WithRdeps: most direct dependents first", () => {
    const world = new World({ stepOrder: "WithRdeps" });
    world.step("few");
    world.step("many");
    world.step("top1", ["few", "many"]);
    world.step("top2", ["many"]);
    world.build(1, "top1");
    world.build(2, "top2");
    world.machine("m");
    expect(world.order().slice(0, 2)).toEqual(["many", "few"]);
  });

  it("WithCriticalPath: the longest expected work above goes first, and switching on computes it", () => {
    const world = new World({ stepOrder: "Legacy" });
    world.step("short", [], { expectedDurationMs: 1000 });
    world.step("long", [], { expectedDurationMs: 1 });
    world.step("above", ["long"], { expectedDurationMs: 5000 });
    world.build(1, "short");
    world.build(2, "above");
    world.scheduler.setOptions({ stepOrder: "WithCriticalPath" }, world.now);
    world.machine("m");
    expect(world.order()).toEqual(["long", "above", "short"]);
  });

  it("global priority comes before everything, and a bump moves what is queued", () => {
    const world = new World();
    for (const name of ["a", "b", "c"]) world.step(name);
    world.step("below-c");
    world.step("c2", ["below-c"]);
    world.build(1, "a");
    world.build(2, "b");
    world.build(3, "c2");
    world.machine("m");
    world.scheduler.setBuildPriority(buildId(3), { globalPriority: 7, localPriority: 100 }, world.now);
    expect(world.order()).toEqual(["below-c", "c2", "a", "b"]);
  });

  it("a bump can be taken back", () => {
    const world = new World();
    world.step("a");
    world.step("b");
    world.build(1, "a");
    world.build(2, "b", { globalPriority: 5 });
    world.machine("m");
    world.scheduler.setBuildPriority(buildId(2), { globalPriority: 0, localPriority: 100 }, world.now);
    expect(world.order()).toEqual(["a", "b"]);
  });

  it("a change of shares moves what is queued", () => {
    const world = new World();
    world.jobset(1, 100);
    world.jobset(2, 100);
    world.scheduler.loadJobsetUsage(jobsetId(1), [{ start: world.now - 1000, duration: 10_000 }], world.now);
    world.scheduler.loadJobsetUsage(jobsetId(2), [{ start: world.now - 1000, duration: 20_000 }], world.now);
    world.step("a");
    world.step("b");
    world.build(1, "a");
    world.build(2, "b", { jobset: jobsetId(2) });
    world.jobset(2, 1000);
    world.machine("m");
    expect(world.next().step).toBe("b");
  });
});

describe("jobset shares", () => {
  it("converge to the proportion of the shares", () => {
    const world = new World();
    world.jobset(1, 100);
    world.jobset(2, 300);
    for (let i = 0; i < 2000; i++) {
      world.step(`one-${i}`);
      world.step(`two-${i}`);
      world.build(2 * i + 1, `one-${i}`);
      world.build(2 * i + 2, `two-${i}`, { jobset: jobsetId(2) });
    }
    for (let i = 0; i < 4; i++) world.machine(`m${i}`);
    const time = [0, 0];
    for (let i = 0; i < 2000; i++) {
      const [assignment] = world.assign(1);
      if (assignment === undefined) throw new Error("nothing to do");
      const took = 30_000 + ((i * 7919) % 60_000);
      world.now += 1;
      // Time does not pass in the window; what counts is how long a step ran.
      world.scheduler.complete(assignment.attempt, { kind: "succeeded" }, world.now + took, () => 0);
      time[assignment.step.startsWith("one") ? 0 : 1] =
        (time[assignment.step.startsWith("one") ? 0 : 1] ?? 0) + took;
    }
    const [one = 1, two = 0] = time;
    expect(two / one).toBeGreaterThan(3 * 0.95);
    expect(two / one).toBeLessThan(3 * 1.05);
  });

  it("forget what is older than a day", () => {
    const world = new World();
    world.scheduler.loadJobsetUsage(jobsetId(1), [{ start: world.now, duration: 60_000 }], world.now);
    expect(world.scheduler.jobset(jobsetId(1))?.seconds).toBe(60);
    world.advance(86_400_000);
    expect(world.scheduler.jobset(jobsetId(1))?.seconds).toBe(0);
  });

  it("without shares come last, and never stop the queue", () => {
    const world = new World();
    world.jobset(2, 0);
    world.jobset(3, -5);
    for (const [id, jobset] of [
      [1, 2],
      [2, 3],
      [3, 1],
    ] as const) {
      world.step(`s${id}`);
      world.build(id, `s${id}`, { jobset: jobsetId(jobset) });
    }
    world.machine("m");
    expect(world.order()).toEqual(["s3", "s1", "s2"]);
  });
});

const state: MachineState = {
  info: {
    id: machineId("m"),
    hostname: "m",
    systems: [],
    supportedFeatures: [],
    mandatoryFeatures: [],
    cpuCount: 8,
    bogomips: 100,
    speedFactor: 2,
    maxJobs: 3,
    buildDirAvailThreshold: 0,
    storeAvailThreshold: 0,
    load1Threshold: 8,
    cpuPsiThreshold: 75,
    memPsiThreshold: 80,
    ioPsiThreshold: 60,
  },
  jobs: 1,
  uploads: 0,
  load,
  recentJobs: 0,
  recentUntil: 5,
  burstLimit: 4,
};

describe("machine orders", () => {
  it("divide a machine's worth by the jobs it would have", () => {
    expect(speedFactorOnly(state)).toBe(1);
    expect(cpuCoreCountWithSpeedFactor(state)).toBe(8);
    expect(bogomipsWithSpeedFactor(state)).toBe(800);
    expect(bogomipsWithSpeedFactor({ ...state, info: { ...state.info, bogomips: 0 } })).toBe(8);
  });

  it("spread work in proportion to what machines are worth", () => {
    const world = new World({ machineOrder: "SpeedFactorOnly" });
    for (let i = 0; i < 9; i++) {
      world.step(`s${i}`);
      world.build(i + 1, `s${i}`);
    }
    world.machine("fast", { speedFactor: 2, maxJobs: 100 });
    world.machine("slow", { speedFactor: 1, maxJobs: 100 });
    const fast = world.assign().filter(({ machine }) => machine === "fast");
    expect(fast).toHaveLength(6);
  });
});

describe("free functions", () => {
  it("Static: jobs below maxJobs", () => {
    expect(staticFree({ ...state, jobs: 2 })).toBeUndefined();
    expect(staticFree({ ...state, jobs: 3 })).toEqual({ kind: "full", jobs: 3, maxJobs: 3 });
  });

  it("Dynamic: load without CPU pressure, else pressure alone; limits are strict", () => {
    const at = (pressure: object | undefined, load1 = 0) =>
      dynamicFree({ ...state, load: { ...load, load1, pressure } });
    expect(at(undefined, 8)).toBeUndefined();
    expect(at(undefined, 8.1)).toMatchObject({ kind: "threshold", what: "load1" });
    expect(at({ memFullAvg10: 99 })).toBeUndefined();
    expect(at({ cpuSomeAvg10: 75 }, 100)).toBeUndefined();
    expect(at({ cpuSomeAvg10: 75.1 })).toMatchObject({ what: "cpuPressure" });
    expect(at({ cpuSomeAvg10: 0, memFullAvg10: 80.1 })).toMatchObject({ what: "memPressure" });
    expect(at({ cpuSomeAvg10: 0, ioFullAvg10: 60.1 })).toMatchObject({ what: "ioPressure" });
    expect(dynamicFree({ ...state, jobs: 100, recentJobs: 4 })).toEqual({ kind: "burst", until: 5 });
    expect(dynamicWithMaxJobLimit({ ...state, jobs: 3 })).toMatchObject({ kind: "full" });
  });

  it("disk space is asked first, and before the first ping nothing is free when a threshold is set", () => {
    const world = new World();
    world.step("s");
    world.build(1, "s");
    world.machine("m", { storeAvailThreshold: 10 });
    expect(world.assign()).toEqual([]);
    expect(world.why("s")).toMatchObject({ code: "machinesBusy", machines: [{ block: { kind: "noPing" } }] });
    world.scheduler.updateMachine(machineId("m"), { ...load, storeFreePercent: 9 }, world.now);
    expect(world.assign()).toEqual([]);
    world.scheduler.updateMachine(machineId("m"), load, world.now);
    expect(world.assign()).toHaveLength(1);
  });

  it("a machine whose store is silent gets no work until it answers, and says why", () => {
    const world = new World();
    world.step("s");
    world.build(1, "s");
    world.machine("m");
    const ping = (storeTrouble?: string): void =>
      world.scheduler.updateMachine(machineId("m"), { ...load, storeTrouble }, world.now);
    ping("no answer for 5 s");
    expect(world.assign()).toEqual([]);
    expect(world.why("s")).toEqual({
      code: "machinesBusy",
      machines: [
        { machine: "m", hostname: "m", block: { kind: "storeSilent", reason: "no answer for 5 s" } },
      ],
      position: 1,
    });
    ping();
    expect(world.assign()).toHaveLength(1);
  });
});
