/**
 * The scheduler alone with a queue of a million steps: 20 jobsets interleaved on one graph, 2,000 different priorities, a
 * build of every step, 2,000 machines of 4 jobs. Seconds are those of the processor: on a machine that others use as
 * well, the rest is not the scheduler's. The yardstick is a queue of a tenth in the same run.
 *
 * `dispatch [steps] [machines]`
 */
import { type AttemptId, attemptId, buildId, jobsetId, Scheduler } from "../lib/scheduler/index.js";
import { collectGarbage } from "../test/support/collect-garbage.js";
import { threadMs } from "../test/support/longest-turn.js";
import { atLeast, atMost, type Benchmark, ratioAtMost } from "./benchmark.js";
import { stepsOf } from "./derivation-graph.js";
import { sameMachines } from "./farm-machines.js";

const jobsets = 20;

const threadSeconds = (): number => threadMs() / 1000;

interface Costs {
  readonly steps: number;
  readonly addedPerSecond: number;
  readonly bytesPerStep: number;
  readonly eventsPerSecond: number;
  readonly bumpsPerSecond: number;
}

/** Adds everything, bumps some builds, and builds it all. */
function measure(count: number, machines: number): Costs {
  const steps = stepsOf({ steps: count, seed: 7 });
  collectGarbage();
  const before = process.memoryUsage().heapUsed;
  // As large as the times of a real runner, which do not fit into small integers.
  let now = 1_800_000_000_000;
  const scheduler = new Scheduler({ deadlines: { heartbeatMs: 0 } });
  for (let index = 0; index < jobsets; index++) {
    scheduler.upsertJobset({ id: jobsetId(index), project: "p", name: `j${index}`, shares: 100 + index });
  }
  let start = threadSeconds();
  scheduler.addSteps(steps, now);
  for (const [index, { id }] of steps.entries()) {
    const priorities = { globalPriority: (index * 7919) % 2000, localPriority: 100 };
    scheduler.addBuild(
      { id: buildId(index + 1), jobset: jobsetId(index % jobsets), step: id, ...priorities, timestamp: 0 },
      now,
    );
  }
  scheduler.nextEventAt();
  const addedPerSecond = count / (threadSeconds() - start);
  collectGarbage();
  const bytesPerStep = (process.memoryUsage().heapUsed - before) / count;

  const bumps = 200;
  start = threadSeconds();
  for (let index = 0; index < bumps; index++) {
    const id = buildId(1 + ((index * 7919) % count));
    const globalPriority = 2001 + Math.floor(index / 20);
    scheduler.setBuildPriority(id, { globalPriority, localPriority: 100 }, now);
    scheduler.nextEventAt();
  }
  const bumpsPerSecond = bumps / (threadSeconds() - start);

  for (const machine of sameMachines(machines, 4)) scheduler.addMachine(machine, now, () => 0);
  const running: AttemptId[] = [];
  let ended = 0;
  let attempts = 0;
  start = threadSeconds();
  for (;;) {
    now += 100;
    for (const { attempt } of scheduler.assign(now, () => attemptId(`a${attempts++}`))) running.push(attempt);
    const attempt = running[ended++];
    if (attempt === undefined) break;
    scheduler.acknowledged(attempt, now);
    scheduler.complete(attempt, { kind: "succeeded" }, now, () => 0);
    scheduler.advance(now, () => 0);
  }
  const eventsPerSecond = attempts / (threadSeconds() - start);
  // Uses `steps`, which have to live as long as heaps are compared.
  if (scheduler.sizes().steps > 0 || attempts !== steps.length) throw new Error("not everything was built");
  return { steps: count, addedPerSecond, bytesPerStep, eventsPerSecond, bumpsPerSecond };
}

export const run: Benchmark = async ([steps = "1000000", machines = "2000"]) => {
  const count = Number(steps);
  measure(Math.min(count, 5_000), Number(machines));
  const small = measure(Math.ceil(count / 10), Number(machines));
  const large = measure(count, Number(machines));
  const tenth = (value: number) => ({ name: "a tenth of the queue", value });
  return [
    {
      figure: "steps assigned and finished",
      value: large.eventsPerSecond,
      unit: "/s",
      yardstick: tenth(small.eventsPerSecond),
      goal: atLeast(150_000),
    },
    { figure: "heap of a step", value: large.bytesPerStep, unit: "B", goal: atMost(800) },
    {
      figure: "processor time of an event",
      value: 1e6 / large.eventsPerSecond,
      unit: "µs",
      yardstick: tenth(1e6 / small.eventsPerSecond),
      goal: ratioAtMost(1.5),
    },
    {
      figure: "steps added",
      value: large.addedPerSecond,
      unit: "/s",
      yardstick: tenth(small.addedPerSecond),
    },
    {
      figure: "bumps of a build",
      value: large.bumpsPerSecond,
      unit: "/s",
      yardstick: tenth(small.bumpsPerSecond),
    },
    { figure: "steps", value: count, unit: "" },
  ];
};
