// The invariants of the pure heart, one test each. The simulation checks I4 to I9, I11 and I13 as well.
// The others: test/binary-cache/invariants.test.ts (I1, I2, I3, I16), test/integration/*-invariants.test.ts (I8, I10, I15).
import * as fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import {
  type FailureStatus,
  jobsetId,
  type MachineState,
  machineId,
  type OrderedStep,
  RetryPolicy,
  stepId,
} from "../../lib/scheduler/index.js";
import { Jobset } from "../../lib/scheduler/queue/jobset-shares.js";
import { noJitter, World } from "./world.js";

function runningStep(options = {}) {
  const world = new World(options);
  world.step("s");
  world.step("above", ["s"]);
  world.build(1, "above");
  world.machine("m");
  return { world, assignment: world.next() };
}

/** Ends of a step that are followed by a start. */
const countedEvents = 200;

/**
 * How often, in so many events, machines are scored, shares of jobsets are worked out, and steps are compared. Every
 * step releases another one, which enters the queue.
 */
function countsOf(size: { readonly steps: number; readonly machines: number; readonly jobsets: number }) {
  const counts = { scores: 0, comparisons: 0, shares: 0 };
  const currentShare = vi.spyOn(Jobset.prototype, "currentShare");
  for (const own of [true, false]) {
    const machineOrder = ({ info, jobs }: MachineState): number => {
      counts.scores++;
      return info.speedFactor / (1 + jobs);
    };
    const stepOrder = (a: OrderedStep, b: OrderedStep): number => {
      counts.comparisons++;
      return a.expectedMs - b.expectedMs;
    };
    const world = new World({ machineOrder, ...(own ? { stepOrder } : {}) });
    for (let id = 1; id <= size.jobsets; id++) world.jobset(id);
    for (let index = 0; index < size.steps; index++) {
      // Every second step waits for another one.
      const inputs = index % 2 === 0 ? [] : [`s${index - 1}`];
      world.step(`s${index}`, inputs, { expectedDurationMs: 1 + ((index * 7919) % 1009) });
      world.build(index + 1, `s${index}`, { jobset: jobsetId(1 + (index % size.jobsets)) });
    }
    for (let index = 0; index < size.machines; index++) world.machine(`m${index}`, { maxJobs: 1 });
    const running = world.assign();
    expect(running).toHaveLength(size.machines);
    counts.scores = 0;
    if (own) counts.comparisons = 0;
    currentShare.mockClear();
    for (let event = 0; event < countedEvents; event++) {
      const [ended] = running.splice(0, 1);
      if (ended === undefined) throw new Error("nothing runs");
      world.now += 10;
      world.succeed(ended);
      running.push(...world.assign());
      expect(running).toHaveLength(size.machines);
    }
  }
  counts.shares = currentShare.mock.calls.length;
  currentShare.mockRestore();
  return counts;
}

describe("invariants", () => {
  it("I4: at any time at most one owner per derivation, and only the owner ends it", () => {
    const { world, assignment } = runningStep();
    world.machine("other");
    world.build(2, "s");
    expect(world.assign()).toEqual([]);
    const { attempt } = assignment;
    const report = (from: string) =>
      world.scheduler.complete(attempt, { kind: "succeeded" }, world.now, noJitter, machineId(from));
    expect(report("other")).toEqual({ kind: "stale" });
    expect(report("m")).toMatchObject({ kind: "finished" });
    expect(report("m")).toEqual({ kind: "stale" });
  });

  it("I5: nothing stays busy without a live owner beyond the deadline", () => {
    const { world } = runningStep({ retry: { maxTries: 1 } });
    for (let i = 0; i < 3 && world.scheduler.attempts().length > 0; i++) {
      const at = world.scheduler.nextEventAt();
      expect(at).toBeDefined();
      world.advance((at ?? 0) - world.now);
    }
    expect(world.scheduler.attempts()).toEqual([]);
  });

  it("I6: slots used = jobs owned", () => {
    const { world, assignment } = runningStep();
    const jobs = () => {
      const machine = world.scheduler.machine(machineId("m"), world.now);
      return [machine?.jobs, machine?.uploads, machine?.attempts.length];
    };
    expect(jobs()).toEqual([1, 0, 1]);
    world.scheduler.buildEnded(assignment.attempt, world.now);
    world.scheduler.buildEnded(assignment.attempt, world.now);
    expect(jobs()).toEqual([0, 1, 1]);
    world.succeed(assignment);
    expect(jobs()).toEqual([0, 0, 0]);
  });

  it("I7: an unfinished step is queued, scheduled, waiting for a timer, or gated: never none", () => {
    const { world, assignment } = runningStep({ retry: { intervalMs: 10 } });
    expect(world.why("s").code).toBe("running");
    world.trouble(assignment);
    expect(world.why("s").code).toBe("retryLater");
    world.advance(10);
    expect(world.why("s").code).toBe("nextInLine");
    world.scheduler.drainMachine(machineId("m"), world.now);
    expect(world.why("s").code).toBe("machinesBusy");
    world.scheduler.removeMachine(machineId("m"), world.now, noJitter);
    expect(world.why("s").code).toBe("unsupported");
    const counted = Object.values(world.scheduler.reasons()).reduce((sum, count) => sum + count, 0);
    expect(counted).toBe(world.scheduler.sizes().steps);
  });

  it("I9: infrastructure trouble never fails a step as a build failure", () => {
    const { world, assignment } = runningStep({
      retry: { maxTries: 2, intervalMs: 1 },
      breaker: { failures: 99 },
    });
    world.trouble(assignment);
    world.advance(1);
    const again = world.next();
    world.scheduler.sent(again.attempt, world.now);
    const [, ended] = world.scheduler.removeMachine(machineId("m"), world.now, noJitter);
    expect(ended).toMatchObject({
      attempt: again.attempt,
      completion: { kind: "failed", status: 3, builds: [{ id: 1, own: false }] },
    });
  });

  it("I11: every retry has a delay, a cap and a visible reason", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 10 }),
        fc.integer({ min: 1, max: 1_000_000 }),
        fc.double({ min: 0, max: 0.999, noNaN: true }),
        (maxTries, intervalMs, random) => {
          const options = { maxTries, intervalMs, backoff: 3, jitterMs: 1000, maxDelayMs: 2_000_000 };
          const policy = new RetryPolicy(options);
          for (let tries = 1; tries < maxTries; tries++) {
            const delay = policy.delayAfter(tries, () => random);
            expect(delay).toBeGreaterThanOrEqual(intervalMs);
            expect(delay).toBeLessThan(2_001_000);
          }
          expect(policy.delayAfter(maxTries, () => random)).toBeUndefined();
        },
      ),
    );
    const { world, assignment } = runningStep();
    world.trouble(assignment);
    expect(world.why("s")).toMatchObject({ code: "retryLater", reason: "trouble", tries: 1, maxTries: 5 });
  });

  it("I12: the cost of an event does not grow with the queue", () => {
    let looks = 0;
    const machineFree = ({ jobs }: { readonly jobs: number }) => {
      looks++;
      return jobs < 1 ? undefined : ({ kind: "full", jobs, maxJobs: 1 } as const);
    };
    const world = new World({ machineFree });
    for (let i = 0; i < 5000; i++) {
      world.step(`s${i}`);
      world.build(i + 1, `s${i}`);
    }
    world.machine("m");
    let assignment = world.next();
    looks = 0;
    for (let i = 0; i < 100; i++) {
      world.succeed(assignment);
      assignment = world.next();
      expect(world.assign()).toEqual([]);
    }
    expect(looks).toBeLessThanOrEqual(200);
  });

  it("I12: nor with machines and jobsets, and with the queue by its logarithm only", () => {
    const small = countsOf({ steps: 300, machines: 4, jobsets: 2 });
    const many = countsOf({ steps: 1000, machines: 200, jobsets: 300 });
    const queued = 4800;
    const large = countsOf({ steps: queued, machines: 4, jobsets: 2 });
    for (const { scores, shares } of [small, many, large]) {
      // The machine that a step leaves, and the one that a step gets.
      expect(scores).toBe(2 * countedEvents);
      // At the start and at the end of a step, those of the two jobsets that need it: whether they change, and to what.
      expect(shares).toBeLessThanOrEqual(8 * countedEvents);
    }
    // One step enters the queue at each event; a tree that is balanced by chance is 1.4 times as deep as a full one.
    expect(large.comparisons).toBeLessThanOrEqual(3 * Math.log2(queued) * countedEvents);
  });

  it("I13: the status recorded is the status reported", () => {
    for (const status of [1, 3, 7, 8, 9, 10, 11, 12] satisfies FailureStatus[]) {
      const { world, assignment } = runningStep();
      const outcome = { kind: "failed", status } as const;
      expect(world.scheduler.complete(assignment.attempt, outcome, world.now, noJitter)).toMatchObject({
        status,
      });
    }
  });

  it("I14: a poisoned step delays only itself", () => {
    const { world, assignment } = runningStep();
    expect(() => world.step("poison", ["missing"])).toThrow("missing");
    world.step("cannot-run", [], { system: "vax-netbsd" });
    world.build(2, "cannot-run");
    world.succeed(assignment);
    expect(world.order()).toEqual(["above"]);
    expect(world.scheduler.hasStep(stepId("cannot-run"))).toBe(true);
  });
});
