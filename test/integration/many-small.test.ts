// Two hundred small builds on two machines: every slot is in use as long as there is something to do.
import { expect, test } from "vitest";
import type { Row } from "../support/hydra-tables.js";
import { shellDerivation } from "../support/nix.js";
import { usePair } from "../support/pair.js";
import { testDatabase } from "../support/test-database.js";

const maxJobs = 4;
const count = 200;
/** Default of `maxConcurrentUploadsPerMachine`. */
const maxConcurrentUploads = 4;

const pair = usePair(async () => ({
  databaseUrl: await testDatabase(),
  builders: [{ settings: { maxJobs } }, { settings: { maxJobs } }],
}));

/** Largest number of steps of one machine that overlap, by whole seconds: touching ones do not count. */
function mostAtOnce(steps: readonly Row[]): number {
  const edges = steps.flatMap((step) => [
    { at: Number(step.starttime), change: 1 },
    { at: Number(step.stoptime), change: -1 },
  ]);
  // Ends first, because the database knows seconds only.
  edges.sort((a, b) => a.at - b.at || a.change - b.change);
  let now = 0;
  let most = 0;
  for (const { change } of edges) {
    now += change;
    most = Math.max(most, now);
  }
  return most;
}

test("two hundred builds, each once, spread over both machines", async () => {
  const drvs = await pair().instantiate(
    ...Array.from({ length: count }, (_, index) => shellDerivation(`small-${index}`, `echo ${index} > $out`)),
  );
  expect(drvs).toHaveLength(count);
  const ids = await pair().tables.addBuilds(drvs.map((drv) => ({ drv, jobsetId: pair().jobsetId })));
  await pair().tables.waitFinished(ids);
  await pair().notifications.settle();

  const rows = await pair().tables.rows(ids);
  expect(rows.Builds.every(({ finished, buildstatus }) => finished === 1 && buildstatus === 0)).toBe(true);
  expect(rows.BuildSteps).toHaveLength(count);
  expect(rows.BuildSteps.every((step) => step.status === 0 && step.busy === 0)).toBe(true);
  const all = pair().notifications.of(ids);
  for (const channel of ["step_started", "step_finished", "build_finished"]) {
    expect(all.filter((one) => one.channel === channel)).toHaveLength(count);
  }

  for (const name of [pair().builder(0).name, pair().builder(1).name]) {
    const own = rows.BuildSteps.filter((step) => step.machine === name);
    // Equal machines share alike; chance may move a few.
    expect(own.length).toBeGreaterThan(count / 4);
    // A slot is free when the build ends; the step goes on until its outputs are uploaded.
    expect(mostAtOnce(own)).toBeLessThanOrEqual(maxJobs + maxConcurrentUploads);
  }

  // While steps waited, both machines were working in every second.
  const starts = rows.BuildSteps.map((step) => Number(step.starttime));
  const last = Math.max(...starts);
  for (const name of [pair().builder(0).name, pair().builder(1).name]) {
    const own = rows.BuildSteps.filter((step) => step.machine === name);
    for (let second = Math.min(...starts); second <= last; second++) {
      const working = own.some((step) => Number(step.starttime) <= second && Number(step.stoptime) >= second);
      expect(working, `${name} in second ${second - Math.min(...starts)}`).toBe(true);
    }
  }
});
