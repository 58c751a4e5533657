/**
 * What the scheduler's events cost on a large queue, and that they cost hardly more than on a small one.
 *
 * `scheduler-throughput [steps]`
 */
import {
  type AttemptId,
  attemptId,
  buildId,
  jobsetId,
  type NewStep,
  Scheduler,
  stepId,
} from "../lib/scheduler/index.js";
import type { Benchmark } from "./benchmark.js";
import { makeGraph, stepOf, stepsOf } from "./derivation-graph.js";
import { sameMachines } from "./farm-machines.js";

interface Costs {
  readonly addPerSecond: number;
  readonly eventsPerSecond: number;
  readonly bumpsPerSecond: number;
  readonly bytesPerStep: number;
}

const jobsets = 10;

/** Each jobset has a collection of its own. */
function graphOf(count: number): NewStep[] {
  const nodes = makeGraph({ steps: Math.ceil(count / jobsets), seed: 7 });
  return Array.from({ length: jobsets }, (_, jobset) =>
    nodes.map((node) => {
      const inputs = node.inputs.map((input) => `${jobset}-${nodes[input]?.name ?? ""}`);
      return stepOf(`${jobset}-${node.name}`, node, inputs);
    }),
  ).flat();
}

/** Which jobset wants a step, and how urgently. */
interface Load {
  readonly steps: readonly NewStep[];
  readonly jobsets: number;
  readonly jobsetOf: (index: number) => number;
  readonly globalPriority: (index: number) => number;
}

function separate(count: number): Load {
  const steps = graphOf(count);
  const jobsetOf = (index: number): number => Math.floor((index * jobsets) / steps.length);
  return { steps, jobsets, jobsetOf, globalPriority: () => 0 };
}

/** 20 jobsets interleaved on one graph, each with builds all over it, so that nearly every step serves several, and 2,000 different priorities after bumps. */
function interleaved(count: number): Load {
  return {
    steps: stepsOf({ steps: count, seed: 7 }),
    jobsets: 20,
    jobsetOf: (index) => index % 20,
    globalPriority: (index) => (index * 7919) % 2000,
  };
}

function since(start: number): number {
  return (performance.now() - start) / 1000;
}

/** Loads the steps, bumps builds, and builds everything on 100 machines with 4 jobs each. */
function measure(load: Load): Costs {
  const { steps } = load;
  const before = process.memoryUsage().heapUsed;
  const scheduler = new Scheduler({ deadlines: { heartbeatMs: 0 } });
  for (let jobset = 0; jobset < load.jobsets; jobset++) {
    scheduler.upsertJobset({ id: jobsetId(jobset), project: "p", name: `j${jobset}`, shares: 100 + jobset });
  }
  let start = performance.now();
  scheduler.addSteps(steps, 0);
  for (const [index, { id }] of steps.entries()) {
    const priority = { globalPriority: load.globalPriority(index), localPriority: 100 };
    scheduler.addBuild(
      {
        id: buildId(index + 1),
        jobset: jobsetId(load.jobsetOf(index)),
        step: id,
        ...priority,
        timestamp: 0,
      },
      0,
    );
  }
  scheduler.nextEventAt();
  const addPerSecond = steps.length / since(start);
  const bytesPerStep = (process.memoryUsage().heapUsed - before) / steps.length;

  const bumps = 200;
  start = performance.now();
  for (let i = 0; i < bumps; i++) {
    const id = buildId(1 + ((i * 7919) % steps.length));
    scheduler.setBuildPriority(id, { globalPriority: 2001 + Math.floor(i / 20), localPriority: 100 }, 0);
    scheduler.nextEventAt();
  }
  const bumpsPerSecond = bumps / since(start);

  for (const machine of sameMachines(100, 4)) scheduler.addMachine(machine, 0, () => 0);
  const running: AttemptId[] = [];
  let attempts = 0;
  let now = 0;
  start = performance.now();
  for (;;) {
    now += 100;
    for (const { attempt } of scheduler.assign(now, () => attemptId(`a${attempts++}`))) running.push(attempt);
    const attempt = running.shift();
    if (attempt === undefined) break;
    scheduler.acknowledged(attempt, now);
    scheduler.complete(attempt, { kind: "succeeded" }, now, () => 0);
    scheduler.advance(now, () => 0);
  }
  const eventsPerSecond = attempts / since(start);
  const left = scheduler.hasStep(stepId(steps[0]?.id ?? "")) || scheduler.sizes().steps > 0;
  if (left) throw new Error("not everything was built");
  return { addPerSecond, eventsPerSecond, bumpsPerSecond, bytesPerStep };
}

export const run: Benchmark = async (args) => {
  const count = Number(args[0] ?? 100_000);
  measure(separate(Math.min(count, 5000)));
  const small = measure(separate(Math.ceil(count / 10)));
  const large = measure(separate(count));
  const sharedSmall = measure(interleaved(Math.ceil(count / 10)));
  const shared = measure(interleaved(count));
  return {
    steps: count,
    "steps added per second": large.addPerSecond,
    "steps assigned and finished per second": large.eventsPerSecond,
    "bumps per second": large.bumpsPerSecond,
    "heap bytes per step": large.bytesPerStep,
    "cost of an event, large queue / tenth of it": small.eventsPerSecond / large.eventsPerSecond,
    "cost of adding a step, large queue / tenth of it": small.addPerSecond / large.addPerSecond,
    "20 jobsets on one graph: steps added per second": shared.addPerSecond,
    "20 jobsets on one graph: steps assigned and finished per second": shared.eventsPerSecond,
    "20 jobsets on one graph: bumps per second": shared.bumpsPerSecond,
    "20 jobsets on one graph: cost of an event, large queue / tenth of it":
      sharedSmall.eventsPerSecond / shared.eventsPerSecond,
    "20 jobsets on one graph: cost of adding a step, large queue / tenth of it":
      sharedSmall.addPerSecond / shared.addPerSecond,
  };
};
