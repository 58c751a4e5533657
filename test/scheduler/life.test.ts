import { describe, expect, it } from "vitest";
import {
  attemptId,
  buildId,
  machineId,
  RetryPolicy,
  SchedulerError,
  stepId,
} from "../../lib/scheduler/index.js";
import { noJitter, World } from "./world.js";

function oneStep(options = {}): World {
  const world = new World(options);
  world.step("s");
  world.build(1, "s");
  return world;
}

describe("matching", () => {
  it("needs the system, all features, and all mandatory features", () => {
    const world = new World();
    world.step("plain");
    world.step("kvm", [], { features: ["kvm"] });
    world.step("arm", [], { system: "aarch64-linux" });
    for (const [id, name] of ["plain", "kvm", "arm"].entries()) world.build(id + 1, name);
    world.machine("picky", { supportedFeatures: ["kvm"], mandatoryFeatures: ["kvm"], maxJobs: 9 });
    expect(world.assign().map(({ step }) => step)).toEqual(["kvm"]);
    expect(world.why("plain")).toMatchObject({ code: "unsupported", systemKnown: true, missingFeatures: [] });
    expect(world.why("arm")).toMatchObject({ code: "unsupported", systemKnown: false });
  });

  it("mandatory features are not supported by themselves", () => {
    const world = new World();
    world.step("kvm", [], { features: ["kvm"] });
    world.build(1, "kvm");
    world.machine("m", { mandatoryFeatures: ["kvm"] });
    expect(world.assign()).toEqual([]);
    expect(world.why("kvm")).toMatchObject({ code: "unsupported", missingFeatures: ["kvm"] });
  });

  it("builtin runs anywhere, and preferLocal on a machine that demands `local`", () => {
    const world = new World();
    world.step("builtin", [], { system: "builtin" });
    world.step("local", [], { preferLocal: true });
    world.step("other");
    for (const [id, name] of ["builtin", "local", "other"].entries()) world.build(id + 1, name);
    world.machine("arm", { systems: ["aarch64-linux"] });
    world.machine("local", { mandatoryFeatures: ["local"], maxJobs: 9 });
    const given = new Map(world.assign().map(({ step, machine }) => [step, machine]));
    expect(given).toEqual(
      new Map([
        [stepId("builtin"), "arm"],
        [stepId("local"), "local"],
      ]),
    );
  });
});

describe("retry", () => {
  it("waits longer each time, with a cap and jitter, and gives up at the last try", () => {
    const policy = new RetryPolicy({
      maxTries: 4,
      intervalMs: 100,
      backoff: 3,
      jitterMs: 10,
      maxDelayMs: 500,
    });
    expect([1, 2, 3, 4].map((tries) => policy.delayAfter(tries, () => 0))).toEqual([
      100,
      300,
      500,
      undefined,
    ]);
    expect(policy.delayAfter(1, () => 0.99)).toBe(109);
  });

  it("goes to another machine than the one that failed, if there is one", () => {
    const world = oneStep({ retry: { intervalMs: 1000 } });
    world.machine("bad", { speedFactor: 10 });
    world.machine("good");
    const first = world.next();
    expect(first.machine).toBe("bad");
    expect(world.trouble(first)).toMatchObject({ kind: "retry", tries: 1, at: world.now + 1000 });
    expect(world.why("s")).toMatchObject({ code: "retryLater", tries: 1, reason: "trouble" });
    world.advance(999);
    expect(world.assign()).toEqual([]);
    expect(world.scheduler.nextEventAt()).toBe(world.now + 1);
    world.advance(1);
    expect(world.next().machine).toBe("good");
  });

  it("returns to the machine that failed as soon as the other one takes no more work", () => {
    const world = oneStep({ retry: { intervalMs: 1 } });
    world.machine("bad", { speedFactor: 10 });
    world.machine("good", { supportedFeatures: ["big"] });
    const failing = world.next();
    world.step("long", [], { features: ["big"] });
    world.build(2, "long");
    expect(world.next().machine).toBe("good");
    world.trouble(failing);
    world.advance(1);
    expect(world.assign()).toEqual([]);
    world.scheduler.drainMachine(machineId("good"), world.now);
    expect(world.next()).toMatchObject({ step: "s", machine: "bad" });
  });

  it("stays with the machine that failed when it is the only one", () => {
    const world = oneStep({ retry: { intervalMs: 1 }, breaker: { failures: 9 } });
    world.machine("only");
    world.trouble(world.next());
    world.advance(1);
    expect(world.next().machine).toBe("only");
  });

  it("ends as Aborted (3) after the last try", () => {
    const world = oneStep({ retry: { maxTries: 2, intervalMs: 1 } });
    world.machine("m");
    world.trouble(world.next());
    world.advance(1);
    expect(world.trouble(world.next())).toMatchObject({
      kind: "failed",
      status: 3,
      tries: 2,
      reason: "trouble",
    });
  });

  it("a postponed step uses up no try", () => {
    const world = oneStep();
    world.machine("m");
    const { attempt } = world.next();
    const outcome = { kind: "postponed", reason: "the cache is down", delayMs: 50 } as const;
    expect(world.scheduler.complete(attempt, outcome, world.now, noJitter)).toMatchObject({
      kind: "retry",
      tries: 0,
    });
    world.advance(50);
    expect(world.next().tries).toBe(0);
  });
});

describe("unsupported steps", () => {
  it("that fail at the same moment are each accounted to a build that is still there", () => {
    const world = new World();
    world.step("first");
    world.build(9, "first");
    expect(world.why("first").code).toBe("unsupported");
    world.step("second");
    world.step("both", ["first", "second"]);
    world.step("one", ["second"]);
    world.build(1, "both");
    world.build(2, "one");
    const failed = world
      .advance(120_000)
      .flatMap((effect) =>
        effect.kind === "stepUnsupported"
          ? [[effect.completion.step, effect.completion.build, effect.completion.builds.map(({ id }) => id)]]
          : [],
      );
    expect(failed).toEqual([
      ["first", 9, [1, 9]],
      ["second", 2, [2]],
    ]);
  });

  it("fail with status 9 after their time, counted from when no machine fits", () => {
    const world = oneStep({ maxUnsupportedMs: 1000 });
    world.machine("m", { maxJobs: 0 });
    expect(world.advance(5000)).toEqual([]);
    world.scheduler.removeMachine(machineId("m"), world.now, noJitter);
    expect(world.advance(999)).toEqual([]);
    expect(world.advance(1)).toMatchObject([
      {
        kind: "stepUnsupported",
        completion: { status: 9, reason: "unsupported system type 'x86_64-linux'" },
      },
    ]);
    expect(world.scheduler.sizes().steps).toBe(0);
  });
});

describe("deadlines", () => {
  it("an unacknowledged hand-out is taken back", () => {
    const world = oneStep({ deadlines: { acknowledgeMs: 100, heartbeatMs: 0 } });
    world.machine("m");
    const { attempt } = world.next();
    // Whatever the runner does before the order is on its way is not the machine's fault.
    expect(world.advance(10_000)).toEqual([]);
    world.scheduler.sent(attempt, world.now);
    expect(world.advance(100)).toMatchObject([
      { kind: "attemptEnded", cause: "unacknowledged", attempt, abort: true, completion: { kind: "retry" } },
    ]);
  });

  it("an acknowledged one ends at its time-out plus grace, an upload at its own", () => {
    const world = oneStep({ defaultTimeout: 10, deadlines: { graceMs: 500, uploadMs: 700, heartbeatMs: 0 } });
    world.machine("m");
    const { attempt } = world.next();
    world.scheduler.acknowledged(attempt, world.now);
    expect(world.scheduler.nextEventAt()).toBe(world.now + 10_500);
    world.scheduler.buildEnded(attempt, world.now);
    expect(world.scheduler.nextEventAt()).toBe(world.now + 700);
    expect(world.scheduler.machine(machineId("m"), world.now)).toMatchObject({ jobs: 0, uploads: 1 });
    expect(world.advance(700)).toMatchObject([{ cause: "deadline" }]);
  });

  it("limits are the largest of the builds', and 0 beats all", () => {
    const world = new World();
    world.step("s");
    world.build(1, "s", { timeout: 5, maxSilent: 7 });
    world.build(2, "s", { timeout: 0, maxSilent: 6 });
    world.machine("m");
    expect(world.next()).toMatchObject({ limits: { timeout: 0, maxSilent: 7 }, build: 1, ownBuilds: [1, 2] });
  });
});

describe("machines", () => {
  it("are lost without heartbeat, with their attempts", () => {
    const world = oneStep({ deadlines: { heartbeatMs: 1000 } });
    world.machine("m");
    const { attempt } = world.next();
    expect(world.advance(1000)).toMatchObject([
      { kind: "machineLost", machine: "m", reason: "heartbeat" },
      { kind: "attemptEnded", cause: "machineLost", attempt, completion: { kind: "retry" } },
    ]);
  });

  it("that are lost before their orders are sent use up no try", () => {
    const world = oneStep({ retry: { maxTries: 1 } });
    world.machine("m");
    world.next();
    const [, unsent] = world.scheduler.removeMachine(machineId("m"), world.now, noJitter);
    expect(unsent).toMatchObject({ kind: "attemptEnded", completion: { kind: "retry", tries: 0 } });

    world.machine("n");
    world.advance(1);
    const { attempt } = world.next();
    world.scheduler.sent(attempt, world.now);
    const [, sent] = world.scheduler.removeMachine(machineId("n"), world.now, noJitter);
    expect(sent).toMatchObject({ kind: "attemptEnded", completion: { kind: "failed", status: 3 } });
  });

  it("that rejoin keep the attempts they name and lose the others", () => {
    const world = new World();
    for (const [id, name] of ["s", "t"].entries()) {
      world.step(name);
      world.build(id + 1, name);
    }
    world.machine("m", { maxJobs: 2 });
    const [kept, lost] = world.assign();
    if (kept === undefined || lost === undefined) throw new Error("two were expected");
    world.scheduler.disconnectMachine(machineId("m"), world.now + 1000, world.now);
    expect(world.scheduler.machine(machineId("m"), world.now)?.block).toMatchObject({ kind: "disconnected" });
    const info = world.scheduler.machine(machineId("m"), world.now)?.info;
    if (info === undefined) throw new Error("no machine");
    const effects = world.scheduler.addMachine(info, world.now, noJitter, [kept.attempt]);
    expect(effects).toMatchObject([{ kind: "attemptEnded", attempt: lost.attempt }]);
    expect(world.advance(1000)).toEqual([]);
    expect(world.succeed(kept)).toMatchObject({ kind: "finished", ownBuilds: [1] });
    expect(world.succeed(lost)).toEqual({ kind: "stale" });
  });

  it("that do not come back in time are lost", () => {
    const world = oneStep();
    world.machine("m");
    world.next();
    world.scheduler.disconnectMachine(machineId("m"), world.now + 1000, world.now);
    expect(world.advance(1000)).toMatchObject([{ kind: "machineLost", reason: "disconnected" }, {}]);
  });

  it("get no work while draining, and again after", () => {
    const world = oneStep();
    world.machine("m");
    world.scheduler.drainMachine(machineId("m"), world.now);
    expect(world.assign()).toEqual([]);
    expect(world.why("s")).toMatchObject({ machines: [{ block: { kind: "draining" } }] });
    world.scheduler.resumeMachine(machineId("m"), world.now);
    expect(world.assign()).toHaveLength(1);
  });

  it("one step that fails again and again does not hold its machine", () => {
    const world = oneStep({ breaker: { failures: 2 }, retry: { intervalMs: 1, backoff: 1 } });
    world.machine("m");
    for (let i = 0; i < 4; i++) {
      world.trouble(world.next());
      world.advance(1);
    }
    expect(world.scheduler.counters().holds).toBe(0);
  });

  it("in dynamic mode do not get a whole queue between two pings", () => {
    const world = new World({ machineFree: "Dynamic", burst: { jobs: 2, windowMs: 1000 } });
    for (let i = 0; i < 10; i++) {
      world.step(`s${i}`);
      world.build(i + 1, `s${i}`);
    }
    world.machine("m");
    expect(world.assign()).toHaveLength(2);
    world.advance(1000);
    expect(world.assign()).toHaveLength(2);
  });

  it("with too many uploads wait", () => {
    const world = new World({ maxConcurrentUploadsPerMachine: 1 });
    for (const [id, name] of ["s", "t"].entries()) {
      world.step(name);
      world.build(id + 1, name);
    }
    world.machine("m");
    const first = world.next();
    world.scheduler.buildEnded(first.attempt, world.now);
    expect(world.assign()).toEqual([]);
    world.succeed(first);
    expect(world.assign()).toHaveLength(1);
  });

  it("adopt what they still run after a restart, once", () => {
    const world = oneStep();
    world.machine("m");
    const attempt = {
      attempt: attemptId("old"),
      step: stepId("s"),
      machine: machineId("m"),
      startedAt: world.now - 500,
    };
    expect(world.scheduler.adoptAttempt(attempt, world.now)).toMatchObject({ step: "s", build: 1 });
    expect(world.scheduler.adoptAttempt({ ...attempt, attempt: attemptId("b") }, world.now)).toBeUndefined();
    expect(world.why("s")).toMatchObject({ code: "running", phase: "building" });
    expect(world.assign()).toEqual([]);
  });
});

describe("the graph", () => {
  it("releases dependents, finishes builds, and ends empty", () => {
    const world = new World();
    world.step("low");
    world.step("high", ["low"]);
    world.build(1, "high");
    world.build(2, "low");
    world.machine("m");
    expect(world.why("high")).toEqual({ code: "waitingForInputs", inputs: ["low"], count: 1 });
    expect(world.succeed(world.next())).toMatchObject({
      kind: "finished",
      released: ["high"],
      ownBuilds: [2],
    });
    expect(world.succeed(world.next())).toMatchObject({ kind: "finished", ownBuilds: [1] });
    world.scheduler.removeMachine(machineId("m"), world.now, noJitter);
    world.advance(100_000_000);
    const { jobsets: _, ...sizes } = world.scheduler.sizes();
    expect(Object.values(sizes).every((size) => size === 0)).toBe(true);
  });

  it("fails everything above, own builds marked", () => {
    const world = new World();
    world.step("low");
    world.step("high", ["low"]);
    world.build(1, "high");
    world.build(2, "low");
    world.machine("m");
    const { attempt } = world.next();
    expect(
      world.scheduler.complete(attempt, { kind: "failed", status: 1 }, world.now, noJitter),
    ).toMatchObject({
      status: 1,
      build: 2,
      builds: [
        { id: 1, own: false },
        { id: 2, own: true },
      ],
    });
    expect(world.why("high")).toEqual({ code: "unknown" });
  });

  it("aborts what only a cancelled build needed, and keeps what others need", () => {
    const world = new World();
    world.step("shared");
    world.step("own", []);
    world.step("top", ["shared", "own"]);
    world.build(1, "top");
    world.build(2, "shared");
    world.machine("m", { maxJobs: 2 });
    const running = new Map(world.assign().map((assignment) => [String(assignment.step), assignment]));
    expect(world.scheduler.removeBuild(buildId(1), world.now)).toMatchObject([
      { kind: "abortAttempt", step: "own" },
    ]);
    const own = running.get("own");
    if (own === undefined) throw new Error("not running");
    expect(world.scheduler.complete(own.attempt, { kind: "cancelled" }, world.now, noJitter)).toMatchObject({
      kind: "cancelled",
      wantedAgain: false,
    });
    expect(world.scheduler.hasStep(stepId("shared"))).toBe(true);
  });

  it("gates hold a step until it is finished or built after all", () => {
    const world = new World();
    world.step("g", [], { gate: "upload" });
    world.build(1, "g");
    world.machine("m");
    expect(world.why("g")).toEqual({ code: "gated", gate: "upload" });
    expect(world.assign()).toEqual([]);
    world.scheduler.ungate(stepId("g"), world.now);
    expect(world.next().step).toBe("g");
  });

  it("dynamic inputs block until somebody says what they named", () => {
    const world = new World();
    world.step("producer");
    world.step("dyn", [], { inputs: [{ id: stepId("producer"), chain: ["out"] }] });
    world.build(1, "dyn");
    world.machine("m");
    const done = world.succeed(world.next());
    expect(done).toMatchObject({
      released: [],
      dynamic: [{ dependent: "dyn", producer: "producer", chain: ["out"] }],
    });
    expect(world.why("dyn")).toEqual({ code: "waitingForDynamicInputs", producers: ["producer"] });
    world.step("named");
    world.scheduler.addInputs(stepId("dyn"), [{ id: stepId("named") }], world.now, stepId("producer"));
    expect(world.order()).toEqual(["named", "dyn"]);
  });

  it("a resolved step hands over its builds and dependents without being a success", () => {
    const world = new World();
    world.step("ca");
    world.step("above", ["ca"]);
    world.build(1, "ca");
    world.build(2, "above");
    world.machine("m");
    const { attempt } = world.next();
    const target = { id: stepId("r"), name: "r", system: "x86_64-linux", features: [], inputs: [] };
    expect(world.scheduler.replaceStep(stepId("ca"), target, world.now)).toMatchObject({
      from: "ca",
      to: "r",
      ended: { attempt },
      ownBuilds: [1],
      created: true,
    });
    expect(world.why("ca")).toEqual({ code: "resolved", to: "r" });
    expect(world.order()).toEqual(["r", "above"]);
  });

  it("refuses cycles, unknown inputs and double builds, and changes nothing", () => {
    const world = oneStep();
    const before = world.scheduler.sizes();
    const code = (action: () => void): string => {
      try {
        action();
      } catch (error) {
        if (error instanceof SchedulerError) return error.code;
      }
      return "none";
    };
    expect(code(() => world.step("x", ["nowhere"]))).toBe("unknown-input");
    expect(code(() => world.step("x", ["x"]))).toBe("cycle");
    expect(code(() => world.build(1, "s"))).toBe("duplicate-build");
    expect(code(() => world.build(2, "nothing"))).toBe("unknown-step");
    expect(world.scheduler.sizes()).toEqual(before);
  });

  it("takes a chain of 100,000 steps without exhausting the stack", () => {
    const world = new World({ stepOrder: "WithCriticalPath" });
    const chain = Array.from({ length: 100_000 }, (_, i) => ({
      id: stepId(`c${i}`),
      name: `c${i}`,
      system: "x86_64-linux",
      features: [],
      inputs: i === 0 ? [] : [{ id: stepId(`c${i - 1}`) }],
    }));
    world.scheduler.addSteps(chain.toReversed(), world.now);
    world.build(1, "c99999");
    world.scheduler.failStep(stepId("c0"), 1, world.now);
    expect(world.scheduler.sizes()).toMatchObject({ steps: 0, edges: 0, builds: 0 });
  });
});
