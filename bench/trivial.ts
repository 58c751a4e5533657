/**
 * 200 independent trivial builds on one builder with 8 jobs, from the INSERT to the last `finished = 1`, against
 * `nix-build -j8` of as many on the builder's own store. Rounds alternate; medians are compared.
 */
import type { Benchmark } from "./benchmark.js";
import { median, trivialExpressions, withFarm } from "./farm.js";

const count = 200;

export const run: Benchmark = async ([rounds = "3"]) =>
  withFarm({ builders: [{ settings: { maxJobs: 8 } }] }, async (pair) => {
    const ours: number[] = [];
    const nixBuild: number[] = [];
    for (let round = 0; round <= Number(rounds); round++) {
      const drvs = await pair.instantiate(...trivialExpressions(count, `ours${round}`));
      let started = performance.now();
      const ids = await pair.tables.addBuilds(drvs.map((drv) => ({ drv, jobsetId: pair.jobsetId })));
      await pair.tables.waitFinished(ids, 120_000);
      const oursMs = performance.now() - started;

      const { store } = pair.builder(0);
      const theirs = await store.instantiate(
        `[ ${trivialExpressions(count, `nix${round}`)
          .map((e) => `(${e})`)
          .join(" ")} ]`,
      );
      started = performance.now();
      await store.run("nix-store", ["--realise", "-j8", ...theirs]);
      const nixMs = performance.now() - started;
      // The first round warms caches and the just-in-time compiler.
      if (round === 0) continue;
      ours.push(oursMs);
      nixBuild.push(nixMs);
    }
    const seconds = median(ours) / 1000;
    return {
      builds: count,
      "ours, s": seconds,
      "nix -j8, s": median(nixBuild) / 1000,
      "ratio (aim: < 2)": seconds / (median(nixBuild) / 1000),
      "builds per second": count / seconds,
    };
  });
