/** Steps, builds and machines from plain values; what a scheduler refuses names the method, the member and what is allowed. */
import { describe, expect, it } from "vitest";
import { UsageError } from "../../lib/errors.js";
import {
  attemptId,
  jobsetId,
  newBuild,
  newMachine,
  newStep,
  Scheduler,
  type StepDescription,
} from "../../lib/scheduler/index.js";

const system = "x86_64-linux";

describe("descriptions", () => {
  it("have what most callers want where something is left out", () => {
    expect(newStep({ id: "zlib.drv", system, inputs: ["gcc.drv"] })).toEqual({
      id: "zlib.drv",
      name: "zlib",
      system,
      features: [],
      inputs: [{ id: "gcc.drv" }],
    });
    expect(newBuild({ id: 3, jobset: 1, step: "zlib.drv", localPriority: 7 })).toEqual({
      id: 3,
      jobset: 1,
      step: "zlib.drv",
      globalPriority: 0,
      localPriority: 7,
      timestamp: 0,
    });
    expect(newMachine({ hostname: "Mac-1", systems: [system], maxJobs: 4 })).toMatchObject({
      id: "mac-1",
      hostname: "Mac-1",
      maxJobs: 4,
      speedFactor: 1,
      supportedFeatures: [],
    });
  });

  it("run in a scheduler under every rule of free machines, without a ping", () => {
    for (const machineFree of ["Static", "Dynamic", "DynamicWithMaxJobLimit"] as const) {
      const scheduler = new Scheduler({ machineFree });
      scheduler.upsertJobset({ id: jobsetId(1), project: "p", name: "j", shares: 1 });
      scheduler.addSteps([newStep({ id: "a.drv", system })], 0);
      scheduler.addBuild(newBuild({ id: 1, jobset: 1, step: "a.drv" }), 0);
      scheduler.addMachine(newMachine({ hostname: "m", systems: [system] }), 0, () => 0);
      expect(scheduler.assign(0, () => attemptId("one"))).toMatchObject([{ step: "a.drv", machine: "m" }]);
    }
  });

  it("name what is wrong", () => {
    expect(() => newStep({ id: "a.drv" } as StepDescription)).toThrow(
      new UsageError("newStep: option 'system' must be a string, not empty"),
    );
    expect(() => newStep({ id: "a.drv", system, tries: "2" as never })).toThrow(/'tries' must be a number/);
    expect(() => newBuild({ id: Number.NaN, jobset: 1, step: "a" })).toThrow(/'id' must be a number/);
    expect(() => newMachine({ hostname: "m", systems: system as never })).toThrow(
      /'systems' must be a list of strings/,
    );
  });
});

describe("a scheduler", () => {
  it("names the method, the step and the member that is wrong, and is not changed", () => {
    const scheduler = new Scheduler();
    const good = newStep({ id: "a.drv", system });
    const { features: _, ...bad } = newStep({ id: "b.drv", system });
    expect(() => scheduler.addSteps([good, bad as never], 0)).toThrow(
      new UsageError("Scheduler.addSteps: step 1: option 'features' must be a list of strings"),
    );
    expect([...scheduler.rows()]).toEqual([]);
    expect(() => scheduler.addSteps([good], "now" as never)).toThrow(/'now' must be a number/);
    expect([...scheduler.rows()]).toEqual([]);
  });
});
