/** One trivial build at a time on an idle pair: from INSERT + NOTIFY to `finished = 1`. */
import type { Benchmark } from "./benchmark.js";
import { median, trivialExpressions, withFarm } from "./farm.js";

export const run: Benchmark = async ([builds = "20"]) =>
  withFarm({}, async (pair) => {
    const times: number[] = [];
    const warmUp = 5;
    const drvs = await pair.instantiate(...trivialExpressions(Number(builds) + warmUp, "one"));
    for (const [index, drv] of drvs.entries()) {
      const started = performance.now();
      const ids = await pair.tables.addBuilds([{ drv, jobsetId: pair.jobsetId }]);
      await pair.tables.waitFinished(ids);
      if (index >= warmUp) times.push(performance.now() - started);
    }
    return {
      builds: times.length,
      "p50, ms (aim: < 100)": median(times),
      "longest, ms": Math.max(...times),
    };
  });
