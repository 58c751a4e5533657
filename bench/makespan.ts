/**
 * How long a queue of evaluations takes under each step order, in virtual time, against what no order can beat: all
 * work spread evenly, or the longest chain.
 *
 * `makespan [seed] [evaluations] [machines] [jobs per machine]`
 */
import {
  type AttemptId,
  attemptId,
  buildId,
  jobsetId,
  Scheduler,
  type StepId,
  type StepOrderName,
  stepId,
} from "../lib/scheduler/index.js";
import type { Benchmark, Figures } from "./benchmark.js";
import { criticalPathMs, evaluate, makeGraph, newStep, type QueuedSteps } from "./derivation-graph.js";
import { sameMachines } from "./farm-machines.js";
import { TimeQueue } from "./time-queue.js";

/** Size of the graph that Hydra's own replay used. */
const graphSize = 6818;
const hourMs = 3_600_000;

/** Milliseconds until everything is built. */
export function makespanMs(
  queued: QueuedSteps,
  order: StepOrderName,
  machines: number,
  jobs: number,
): number {
  const scheduler = new Scheduler({
    stepOrder: order,
    deadlines: { acknowledgeMs: 0, heartbeatMs: 0 },
    defaultTimeout: 0,
  });
  scheduler.upsertJobset({ id: jobsetId(1), project: "p", name: "j", shares: 100 });
  for (const machine of sameMachines(machines, jobs)) scheduler.addMachine(machine, 0, () => 0);
  let builds = 0;
  for (const { names } of queued.evaluations) {
    const fresh = names.flatMap((name) => {
      const found = queued.steps.get(name);
      return found === undefined ? [] : [newStep(name, found.node, found.inputs)];
    });
    scheduler.addSteps(fresh, 0);
    for (const name of names) {
      scheduler.addBuild(
        {
          id: buildId(++builds),
          jobset: jobsetId(1),
          step: stepId(`${name}.drv`),
          globalPriority: 0,
          localPriority: 100,
          timestamp: 0,
        },
        0,
      );
    }
  }
  const durations = new Map<StepId, number>();
  for (const [name, { node }] of queued.steps) durations.set(stepId(`${name}.drv`), node.durationMs);
  const ends = new TimeQueue<AttemptId>();
  let attempts = 0;
  let now = 0;
  for (;;) {
    for (const { attempt, step } of scheduler.assign(now, () => attemptId(`a${attempts++}`))) {
      ends.push(now + (durations.get(step) ?? 0), attempt);
    }
    const next = ends.pop();
    if (next === undefined) break;
    now = next.at;
    scheduler.complete(next.value, { kind: "succeeded" }, now, () => 0);
  }
  const { steps } = scheduler.sizes();
  if (steps !== 0) throw new Error(`${steps} steps were never built`);
  return now;
}

export const run: Benchmark = async (args) => {
  const [seed = 1, evaluations = 8, machines = 16, jobs = 1] = args.map(Number);
  const queued = evaluate(makeGraph({ steps: graphSize, seed }), evaluations, 12, seed + 1);
  let work = 0;
  for (const { node } of queued.steps.values()) work += node.durationMs;
  const bound = Math.max(work / (machines * jobs), criticalPathMs(queued));
  const figures: Record<string, number> = {
    "steps in one evaluation": graphSize,
    "different steps in all": queued.steps.size,
    "work (h)": work / hourMs,
    "critical path (h)": criticalPathMs(queued) / hourMs,
    "lower bound (h)": bound / hourMs,
  };
  for (const order of ["Legacy", "WithRdeps", "WithCriticalPath"] as const) {
    const took = makespanMs(queued, order, machines, jobs);
    figures[`${order} (h)`] = took / hourMs;
    figures[`${order} / lower bound`] = took / bound;
  }
  return figures satisfies Figures;
};
