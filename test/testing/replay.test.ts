// Replays of traces: what must hold for any trace, small ones by hand, and the queue whose makespans the bench reports.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { evaluate, makeGraph } from "../../bench/derivation-graph.js";
import { traceOf } from "../../bench/makespan.js";
import {
  parseTrace,
  replay,
  type Trace,
  type TraceMachine,
  type TraceStep,
} from "../../lib/testing/index.js";

const step = (drv: string, durationMs: number, inputs: string[] = [], more: Partial<TraceStep> = {}) => ({
  drv,
  name: drv,
  system: "x86_64-linux",
  features: [],
  inputs,
  durationMs,
  ...more,
});
const machine = (hostname: string, maxJobs: number, more: Partial<TraceMachine> = {}) => ({
  hostname,
  systems: ["x86_64-linux"],
  features: [],
  maxJobs,
  ...more,
});
const build = (id: number, drv: string, queuedMs = 0, jobset = "j") => ({
  id,
  project: "p",
  jobset,
  drv,
  queuedMs,
});
const trace = (parts: Partial<Trace>): Trace => ({
  formatVersion: 1,
  shares: {},
  machines: [machine("m", 1)],
  steps: [],
  builds: [],
  ...parts,
});

describe("a replay", () => {
  it("says makespan, waits and use of a small queue", () => {
    const report = replay(
      trace({
        steps: [step("lib", 10), step("app", 5, ["lib"]), step("tool", 7)],
        builds: [build(1, "app"), build(2, "tool", 3, "k")],
      }),
    );
    expect(report.makespanMs).toBe(22);
    expect(report.steps).toBe(3);
    expect(report.machines.get("m")).toEqual({ steps: 3, busyMs: 22, use: 1 });
    const waits = [...report.jobsets].map(([name, { steps, builds }]) => [
      name,
      steps.count,
      builds.longestMs,
    ]);
    expect(waits).toEqual([
      ["p:j", 2, expect.any(Number)],
      ["p:k", 1, expect.any(Number)],
    ]);
    const longest = [...report.jobsets.values()].map(({ builds }) => builds.longestMs);
    // Either jobset may be served first at 10 ms; the other waits for it.
    expect([
      [15, 19],
      [22, 14],
    ]).toContainEqual(longest);
  });

  it("follows an own step order, machine order and duration", () => {
    const parts = trace({
      machines: [machine("slow", 1), machine("fast", 1, { speedFactor: 4 })],
      steps: [step("a", 100), step("b", 100), step("c", 100)],
      builds: [build(1, "a"), build(2, "b"), build(3, "c")],
    });
    const report = replay(parts, {
      machineOrder: ({ info }) => info.speedFactor,
      durationMs: ({ durationMs }, { speedFactor = 1 }) => durationMs / speedFactor,
    });
    expect(report.machines.get("fast")).toMatchObject({ steps: 2, busyMs: 50 });
    expect(report.makespanMs).toBe(100);

    const started: string[] = [];
    replay(parts, {
      machines: [machine("one", 1)],
      stepOrder: (a, b) => (a.name < b.name ? 1 : -1),
      durationMs: ({ drv }) => started.push(drv),
    });
    expect(started).toEqual(["c", "b", "a"]);
  });

  it("says which own rules failed, as the rest of the replay is the default's", () => {
    const parts = trace({ steps: [step("a", 1), step("b", 1)], builds: [build(1, "a"), build(2, "b")] });
    expect(replay(parts).broken).toEqual([]);
    expect(replay(parts, { stepOrder: () => Number.NaN }).broken).toEqual([
      { kind: "policyFailed", policy: "stepOrder", reason: expect.stringContaining("NaN") },
    ]);
    const failing = (): never => {
      throw new Error("sorry");
    };
    expect(replay(parts, { machineOrder: failing }).broken).toEqual([
      { kind: "policyFailed", policy: "machineOrder", reason: "sorry" },
    ]);
  });

  it("begins with the first build: a trace may begin long before", () => {
    const day = 86_400_000;
    const report = replay(
      trace({ steps: [step("a", 10), step("b", 10)], builds: [build(1, "a", day), build(2, "b", day + 10)] }),
    );
    expect(report.makespanMs).toBe(20);
    expect(report.machines.get("m")).toEqual({ steps: 2, busyMs: 20, use: 1 });
  });

  it("takes a rule of capacity as a queue runner takes it", () => {
    const parts = trace({
      machines: [machine("m", 4)],
      steps: [step("a", 10), step("b", 10)],
      builds: [build(1, "a"), build(2, "b")],
    });
    expect(replay(parts)).toMatchObject({ makespanMs: 10 });
    const oneByOne = replay(parts, { machineFree: ({ jobs }) => jobs < 1 });
    expect(oneByOne).toMatchObject({ makespanMs: 20, broken: [] });
  });

  it("names what of a policy cannot be used", () => {
    const parts = trace({ steps: [step("a", 1)], builds: [build(1, "a")] });
    const wrong: readonly (readonly [policy: object, says: string])[] = [
      [{ durationMs: () => Number.NaN }, "replay: what 'durationMs' returns must be a number, 0 or more"],
      [
        { machineFree: () => false },
        "replay: 1 steps were never built: 'machineFree' let no machine have them",
      ],
      [{ stepOrdr: () => 0 }, "replay: unknown option 'stepOrdr'; there are stepOrder"],
      [{ machines: [{ hostname: "m" }] }, "replay: machine 0: option 'systems' must be a list of strings"],
      [{ machineOrder: "Fastest" }, "option 'machineOrder' must be a function or one of 'SpeedFactorOnly'"],
    ];
    for (const [policy, says] of wrong)
      expect(() => replay(parts, policy)).toThrow(
        expect.objectContaining({ code: "usage", message: expect.stringContaining(says) }),
      );
  });

  it("leaves out what the fleet cannot run, and what needs it", () => {
    const report = replay(
      trace({
        steps: [step("vm", 1, [], { features: ["kvm"] }), step("app", 1, ["vm"]), step("lib", 2)],
        builds: [build(1, "app"), build(2, "lib")],
      }),
    );
    expect(report).toMatchObject({ unsupported: ["app", "vm"], steps: 1, makespanMs: 2 });
  });

  it("of any trace obeys the bounds of work and of the longest chain", () => {
    const graphs = fc
      .array(
        fc.record({ ms: fc.nat(1000), inputs: fc.array(fc.nat(), { maxLength: 4 }), at: fc.nat(2000) }),
        {
          minLength: 1,
          maxLength: 40,
        },
      )
      .map((nodes) =>
        nodes.map(({ ms, inputs, at }, index) => ({
          at,
          step: step(
            `s${index}`,
            ms,
            index === 0 ? [] : [...new Set(inputs.map((input) => `s${input % index}`))],
          ),
        })),
      );
    const fleets = fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 1, maxLength: 3 });
    fc.assert(
      fc.property(graphs, fleets, (nodes, jobs) => {
        const machines = jobs.map((maxJobs, index) => machine(`m${index}`, maxJobs));
        const steps = nodes.map((node) => node.step);
        const builds = nodes.map(({ at, step: { drv } }, index) => build(index, drv, at, `j${index % 3}`));
        const parts = trace({ machines, steps, builds });
        const report = replay(parts);
        expect(replay(parts)).toEqual(report);
        expect(report.steps).toBe(steps.length);
        const work = steps.reduce((sum, { durationMs }) => sum + durationMs, 0);
        const used = [...report.machines.values()];
        expect(used.reduce((sum, { busyMs }) => sum + busyMs, 0)).toBe(work);
        for (const { use } of used) expect(use).toBeLessThanOrEqual(1);
        const ends = new Map<string, number>();
        for (const { drv, durationMs, inputs } of steps)
          ends.set(drv, durationMs + Math.max(0, ...inputs.map((input) => ends.get(input) ?? 0)));
        const slots = jobs.reduce((sum, count) => sum + count, 0);
        expect(report.makespanMs).toBeGreaterThanOrEqual(Math.max(work / slots, ...ends.values()));
        // Work-conserving: while anything is left after the last arrival, a chain or all slots make progress.
        const last = Math.max(...builds.map(({ queuedMs }) => queuedMs));
        expect(report.makespanMs).toBeLessThanOrEqual(last + work / slots + Math.max(...ends.values()));
      }),
      { numRuns: 60 },
    );
  });

  // The figures of `npm run bench -- makespan`, as its own loop gave them before it became this one.
  it.each([["WithCriticalPath", 13.252]] as const)(
    "of eight evaluations of 6,818 steps under %s takes %d hours",
    (stepOrder, hours) => {
      const queued = evaluate(makeGraph({ steps: 6818, seed: 1 }), 8, 12, 2);
      const { makespanMs } = replay(traceOf(queued, 16, 1), { stepOrder });
      expect((makespanMs / 3_600_000).toFixed(3)).toBe(hours.toFixed(3));
    },
  );

  it("walks down a chain of 30,000 steps", () => {
    const steps = Array.from({ length: 30_000 }, (_, index) =>
      step(`s${index}`, 1, index === 0 ? [] : [`s${index - 1}`]),
    );
    const report = replay(trace({ steps, builds: [build(1, "s29999")] }));
    expect(report.makespanMs).toBe(30_000);
  });
});

describe("parseTrace", () => {
  const good = trace({ steps: [step("a", 1)], builds: [build(1, "a")], shares: { "p:j": 50 } });

  it("reads what was printed", () => {
    expect(parseTrace(JSON.stringify(good))).toEqual(good);
  });

  it.each([
    ["[]", "the trace must be an object"],
    ["{", "a trace is a JSON document"],
    ['{"formatVersion":2}', "formatVersion must be 1; other versions are not known"],
    [
      JSON.stringify({ ...good, steps: [{ ...good.steps[0], durationMs: -1 }] }),
      "steps[0].durationMs must be a number, 0 or more",
    ],
    [JSON.stringify({ ...good, steps: [step("a", 1, ["b"])] }), "a depends on b, which is not in the trace"],
    [JSON.stringify({ ...good, builds: [build(1, "c")] }), "build 1 asks for c, which is not in the trace"],
    [JSON.stringify({ ...good, builds: [build(1, "a"), build(1, "a")] }), "two builds have the id 1"],
    [JSON.stringify({ ...good, steps: [step("a", 1), step("a", 1)] }), "two steps are named a"],
    [JSON.stringify({ ...good, shares: { x: "many" } }), 'shares."x" must be a number, 0 or more'],
  ])("refuses %s", (text, message) => {
    expect(() => parseTrace(text)).toThrow(expect.objectContaining({ code: "bad-trace", message }));
  });
});
