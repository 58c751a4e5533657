/**
 * Answers of the status server while 100,000 steps are queued: how long each takes, and how long it keeps the event loop.
 * The yardstick is the time that `JSON.stringify` takes for the same answer.
 *
 * `status [steps]`
 */
import { load } from "../test/scheduler/world.js";
import { drvOf, openFarm } from "../test/status/api/farm.js";
import { atMost, type Benchmark, type Result } from "./benchmark.js";
import { LoopWatch } from "./loop-watch.js";

/** What people and monitoring ask for all the time, and the one answer with everything in it. */
const paths = [
  "/api/overview",
  "/api/queue",
  "/api/queue?name=p999",
  "/api/machines",
  "/api/jobsets",
  "/status",
  "/metrics",
];

const machines = 200;

export const run: Benchmark = async ([steps = "100000"]) => {
  const count = Number(steps);
  await using farm = await openFarm();
  const { world } = farm;
  for (let n = 0; n < machines; n++) {
    world.machine(`vm${n}`, { maxJobs: 4 });
    world.scheduler.updateMachine(`vm${n}` as never, load, world.now);
  }
  for (let n = 0; n < count; n++) {
    // Chains of ten: a tenth is ready.
    const inputs = n % 10 === 0 ? [] : [drvOf(`p${n - 1}`)];
    world.step(drvOf(`p${n}`), inputs, { name: `p${n}` });
    if (n % 10 === 9) world.build(n + 1, drvOf(`p${n}`));
  }
  world.assign();
  const results: Result[] = [];
  for (const path of paths) {
    // Once without measuring: a real server has answered before.
    await farm.ask("GET", path);
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    using watch = new LoopWatch();
    const start = performance.now();
    const answer = await farm.ask("GET", path);
    const value = performance.now() - start;
    if (answer.status !== 200) throw new Error(`${path} answered ${answer.status}: ${answer.text}`);
    const parsed: unknown = answer.text.startsWith("{") ? answer.json : undefined;
    const before = performance.now();
    if (parsed !== undefined) JSON.stringify(parsed);
    const floor = { name: "JSON.stringify", value: performance.now() - before };
    results.push(
      {
        figure: path,
        value,
        unit: "ms",
        ...(parsed === undefined ? {} : { yardstick: floor }),
        goal: atMost(1_000),
      },
      { figure: `${path}: longest block`, value: watch.longestBlockMs, unit: "ms", goal: atMost(50) },
    );
  }
  return results;
};
