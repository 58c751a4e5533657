/**
 * How long a queue of evaluations takes under each step order, in virtual time, against what no order can beat: all
 * work spread evenly, or the longest chain.
 *
 * `makespan [seed] [evaluations] [machines] [jobs per machine]`
 */
import type { StepOrderName } from "../lib/scheduler/index.js";
import { replay, type Trace } from "../lib/testing/index.js";
import type { Benchmark, Figures } from "./benchmark.js";
import { criticalPathMs, evaluate, makeGraph, type QueuedSteps } from "./derivation-graph.js";

/** Size of the graph that Hydra's own replay used. */
const graphSize = 6818;
const hourMs = 3_600_000;

/** The queue as a trace in which each step of each evaluation is a build, all queued at once. */
export function traceOf(queued: QueuedSteps, machines: number, maxJobs: number): Trace {
  const drv = (name: string): string => `${name}.drv`;
  const system = "x86_64-linux";
  let builds = 0;
  return {
    formatVersion: 1,
    shares: {},
    machines: Array.from({ length: machines }, (_, index) => ({
      hostname: `m${index}`,
      systems: [system],
      features: [],
      maxJobs,
    })),
    steps: [...queued.steps].map(([name, { node, inputs }]) => ({
      drv: drv(name),
      name,
      system,
      features: [],
      inputs: inputs.map(drv),
      durationMs: node.durationMs,
      expectedMs: node.expectedMs,
    })),
    builds: queued.evaluations.flatMap(({ names }) =>
      names.map((name) => ({ id: ++builds, project: "p", jobset: "j", drv: drv(name), queuedMs: 0 })),
    ),
  };
}

/** Milliseconds until everything is built. */
export function makespanMs(
  queued: QueuedSteps,
  order: StepOrderName,
  machines: number,
  jobs: number,
): number {
  return replay(traceOf(queued, machines, jobs), { stepOrder: order }).makespanMs;
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
