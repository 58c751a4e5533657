/** Rules of an operator's own: they decide alone, and one that fails harms nothing. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { buildId, jobsetId, machineId, type OrderedStep, stepId } from "../../lib/scheduler/index.js";
import { load, World } from "./world.js";

const byName = (a: OrderedStep, b: OrderedStep): number => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0);

describe("an own order of steps", () => {
  it("decides alone: neither priorities nor shares come first", () => {
    const world = new World({ stepOrder: byName });
    world.jobset(2, 1);
    for (const name of ["c", "a", "b"]) world.step(name);
    world.build(1, "c", { globalPriority: 9 });
    world.build(2, "a", { jobset: jobsetId(2) });
    world.build(3, "b");
    world.machine("m");
    expect(world.order()).toEqual(["a", "b", "c"]);
  });

  it("sees what a step is and what waits for it", () => {
    const seen = new Map<string, OrderedStep>();
    const world = new World({
      stepOrder: (a, b) => {
        for (const step of [a, b]) seen.set(step.name, step);
        return a.sequence - b.sequence;
      },
    });
    world.step("low", [], { features: ["kvm", "big"], expectedDurationMs: 70 });
    world.step("other", [], { features: ["kvm", "big"] });
    world.step("top", ["low"], { expectedDurationMs: 1_000 });
    world.build(7, "top", { globalPriority: 3, localPriority: 50 });
    world.build(8, "other");
    expect(world.scheduler.queueStats()).toHaveLength(1);
    expect(seen.get("low")).toEqual({
      drv: "low",
      name: "low",
      system: "x86_64-linux",
      features: ["big", "kvm"],
      globalPriority: 3,
      localPriority: 50,
      lowestBuild: 7,
      jobsets: [{ id: 1, project: "p", name: "j1", shares: 100 }],
      expectedMs: 70,
      dependents: 1,
      criticalPathMs: 1_070,
      tries: 0,
      sequence: expect.any(Number),
    });
  });

  it("leaves the older step first where it is undecided", () => {
    const world = new World({ stepOrder: () => 0 });
    for (const name of ["z", "y", "x"]) world.step(name);
    for (const [index, name] of ["x", "y", "z"].entries()) world.build(index + 1, name);
    world.machine("m");
    expect(world.order()).toEqual(["z", "y", "x"]);
  });

  it("serves steps as a sorted list would, whatever changes meanwhile", () => {
    const compare = (a: OrderedStep, b: OrderedStep): number =>
      a.localPriority - b.localPriority || b.criticalPathMs - a.criticalPathMs || b.tries - a.tries;
    const change = fc.record({
      step: fc.nat({ max: 19 }),
      priority: fc.nat({ max: 3 }),
      duration: fc.nat({ max: 5 }),
      take: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(change, { maxLength: 60 }), (changes) => {
        const world = new World({ stepOrder: compare });
        for (let i = 0; i < 20; i++) world.step(`s${i}`, [], { features: i % 3 === 0 ? ["f"] : [] });
        for (let i = 0; i < 20; i++) world.build(i + 1, `s${i}`);
        world.machine("m", { supportedFeatures: ["f"] });
        for (const { step, priority, duration, take } of changes) {
          const id = buildId(step + 1);
          if (!world.scheduler.hasBuild(id)) continue;
          const priorities = { globalPriority: 0, localPriority: priority };
          world.scheduler.setBuildPriority(id, priorities, world.now);
          world.scheduler.setExpectedDuration(stepId(`s${step}`), duration);
          if (!take) continue;
          const best = world.scheduler
            .steps()
            .map((view) => ({ id: view.id, key: [view.localPriority, -view.criticalPath] }))
            .sort((a, b) => (a.key[0] ?? 0) - (b.key[0] ?? 0) || (a.key[1] ?? 0) - (b.key[1] ?? 0))[0];
          const chosen = world.next();
          expect(chosen.step).toBe(best?.id);
          world.succeed(chosen);
        }
        const rest = world.scheduler.queues().flatMap(({ steps }) => steps.map((one) => one.id));
        expect(world.order()).toEqual(rest);
      }),
      { numRuns: 200 },
    );
  });

  it.each([
    ["throws", "no idea"],
    ["gives NaN", "it gave NaN"],
    ["gives nothing", "it gave undefined"],
    ["is asynchronous", "it gave [object Promise]"],
  ])("that %s is reported once, and the default is used", (how, reason) => {
    const answers: Record<string, () => unknown> = {
      throws: () => {
        throw new Error("no idea");
      },
      "gives NaN": () => Number.NaN,
      "gives nothing": () => undefined,
      "is asynchronous": () => Promise.reject(new Error("later")),
    };
    let asked = 0;
    // A JavaScript function has no type to keep it from that.
    const stepOrder = (): number => {
      asked++;
      return answers[how]?.() as number;
    };
    const world = new World({ stepOrder });
    for (const name of ["few", "many", "urgent"]) world.step(name);
    world.step("top1", ["few", "many"]);
    world.step("top2", ["many"]);
    world.build(1, "top1");
    world.build(2, "top2");
    world.build(3, "urgent", { globalPriority: 1 });
    world.machine("m");
    expect(world.order()).toEqual(["urgent", "many", "few", "top1", "top2"]);
    expect(world.notices).toEqual([{ kind: "policyFailed", policy: "stepOrder", reason }]);
    expect(asked).toBe(1);
    expect(world.scheduler.options.stepOrder).toBe("WithRdeps");
  });

  it("that contradicts itself loses no step", () => {
    let calls = 0;
    const world = new World({ stepOrder: () => ((calls++ * 7919) % 3) - 1 });
    for (let i = 0; i < 200; i++) {
      world.step(`s${i}`);
      world.build(i + 1, `s${i}`);
    }
    for (let i = 0; i < 50; i++) world.scheduler.removeBuild(buildId(4 * i + 1), world.now);
    world.machine("m");
    expect(new Set(world.order()).size).toBe(150);
    expect(world.scheduler.sizes()).toMatchObject({ steps: 0, queued: 0, queues: 0 });
  });

  it("can come and go while steps wait", () => {
    const world = new World();
    for (const name of ["b", "c", "a"]) world.step(name);
    world.build(1, "b");
    world.build(2, "c", { globalPriority: 1 });
    world.build(3, "a");
    world.machine("m");
    world.scheduler.setOptions({ stepOrder: byName }, world.now);
    world.succeed(world.next());
    world.scheduler.setOptions({ stepOrder: "Legacy" }, world.now);
    expect(world.order()).toEqual(["c", "b"]);
  });
});

describe("own rules about machines", () => {
  it("choose the machine and say when it is full", () => {
    const world = new World({
      machineOrder: ({ info, jobs }) => (info.hostname === "old" ? 10 : 1) - jobs,
      machineFree: ({ jobs }) => (jobs < 2 ? undefined : { kind: "policy" }),
    });
    for (const name of ["new", "old"]) world.machine(name, { speedFactor: name === "new" ? 100 : 1 });
    for (let i = 0; i < 6; i++) {
      world.step(`s${i}`);
      world.build(i + 1, `s${i}`);
    }
    expect(world.assign().map(({ machine }) => machine)).toEqual(["old", "old", "new", "new"]);
    expect(world.why("s5")).toMatchObject({
      code: "machinesBusy",
      machines: [{ block: { kind: "policy" } }, {}],
    });
  });

  it.each(["machineOrder", "machineFree"] as const)("%s that fails is reported once", (policy) => {
    let asked = 0;
    const rule = (): never => {
      asked++;
      throw new Error("broken");
    };
    const world = new World({ [policy]: rule });
    world.machine("m", { maxJobs: 2 });
    world.scheduler.updateMachine(machineId("m"), load, world.now);
    for (const name of ["a", "b", "c"]) world.step(name);
    for (const [index, name] of ["a", "b", "c"].entries()) world.build(index + 1, name);
    expect(world.assign()).toHaveLength(2);
    expect(world.notices).toEqual([{ kind: "policyFailed", policy, reason: "broken" }]);
    expect(asked).toBe(1);
  });
});
