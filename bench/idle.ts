/**
 * Memory of both programs at rest, after 200 trivial builds, and after 2,000, each time at once and when they have rested;
 * CPU time of both while nothing happens.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Pair } from "../test/support/pair.js";
import { atMost, type Benchmark, type Result } from "./benchmark.js";
import { trivialExpressions, withFarm } from "./farm.js";
import { cpuMs, residentMegabytes } from "./processes.js";

const roundSize = 200;
/** After that V8 has given back what it no longer needs. Milliseconds. */
const restMs = 25_000;

async function buildSome(pair: Pair, salt: string): Promise<void> {
  const drvs = await pair.instantiate(...trivialExpressions(roundSize, salt));
  const ids = await pair.tables.addBuilds(drvs.map((drv) => ({ drv, jobsetId: pair.jobsetId })));
  await pair.tables.waitFinished(ids, 300_000);
}

/** `steps`: how many to build in all; `seconds`: how long to look at programs that do nothing. */
export const run: Benchmark = async ([steps = "2000", seconds = "5"]) =>
  withFarm({ builders: [{ settings: { maxJobs: 8 } }] }, async (pair) => {
    const [runner, builder] = [pair.runner.pid, pair.builder(0).process.pid];
    const results: Result[] = [];
    const memory = (when: string, runnerLimit?: number, builderLimit?: number): void => {
      for (const [program, pid, limit] of [
        ["queue-runner", runner, runnerLimit],
        ["hydra-builder", builder, builderLimit],
      ] as const) {
        const goal = limit === undefined ? {} : { goal: atMost(limit) };
        results.push({ figure: `${program} ${when}`, value: residentMegabytes(pid), unit: "MB", ...goal });
      }
    };
    await sleep(2_000);
    const before = { runner: cpuMs(runner), builder: cpuMs(builder) };
    await sleep(Number(seconds) * 1000);
    const percent = (ms: number): number => ms / (Number(seconds) * 10);
    results.push(
      { figure: "queue-runner at rest, CPU", value: percent(cpuMs(runner) - before.runner), unit: "%" },
      { figure: "hydra-builder at rest, CPU", value: percent(cpuMs(builder) - before.builder), unit: "%" },
    );
    memory("at rest", 75, 65);
    for (let built = roundSize; built <= Number(steps); built += roundSize) {
      await buildSome(pair, `idle${built}`);
      if (built !== roundSize) continue;
      memory("at the end of 200 builds");
      await sleep(restMs);
      memory("at rest after 200 builds", undefined, 90);
    }
    memory(`at the end of ${steps} builds`);
    await sleep(restMs);
    memory(`at rest after ${steps} builds`, 120);
    return results;
  });
