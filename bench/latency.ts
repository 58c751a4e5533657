/** One trivial build at a time on an idle pair: from INSERT + NOTIFY to `finished = 1`. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Pair } from "../test/support/pair.js";
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
      await finished(pair, ids);
      if (index >= warmUp) times.push(performance.now() - started);
    }
    return {
      builds: times.length,
      "p50, ms (aim: < 100)": median(times),
      "longest, ms": Math.max(...times),
    };
  });

/** Looks every two milliseconds, so that looking does not show in the figure. */
async function finished(pair: Pair, ids: readonly number[]): Promise<void> {
  for (;;) {
    const { rows } = await pair.tables.client.query<{ open: number }>(
      "select count(*)::int as open from builds where id = any($1) and finished = 0",
      [ids],
    );
    if (rows[0]?.open === 0) return;
    await sleep(2);
  }
}
