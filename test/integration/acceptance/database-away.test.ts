// Point 10 of the acceptance list for the database: the server goes away under load and comes back.
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { HydraTables } from "../../support/hydra-tables.js";
import { shellDerivation } from "../../support/nix.js";
import { usePair } from "../../support/pair.js";
import { testDatabase, testPostgres } from "../../support/test-database.js";
import { until } from "../../support/until.js";
import { shapesOf } from "./shapes.js";

let databaseUrl = "";

const pair = usePair(async () => {
  databaseUrl = await testDatabase();
  return { databaseUrl, runner: { maxUnsupportedTimeInS: 300 } };
});

/** Whatever its status code. */
const health = async (): Promise<{ readonly status: string }> =>
  (await (await fetch(`${pair().statusUrl}/health`)).json()) as { status: string };

/** A minute of sleep is for a run by hand: `HYDRA_LONG_TESTS=1`. */
const outages = process.env.HYDRA_LONG_TESTS === undefined ? [5] : [5, 60];

for (const seconds of outages) {
  test(`point 10: a database that is away for ${seconds} s loses no result, and cancels work afterwards`, async () => {
    const server = await testPostgres();
    await using before = await HydraTables.connect(databaseUrl, pair().store);
    const drvs = await pair().instantiate(
      ...Array.from({ length: 12 }, (_, index) =>
        shellDerivation(`away-${seconds}-${index}`, `/bin/busybox sleep ${(index % 4) + 1}; echo > $out`),
      ),
      shellDerivation(`away-${seconds}-endless`, "/bin/busybox sleep 300; echo > $out"),
    );
    const ids = await before.addBuilds(drvs.map((drv) => ({ drv, jobsetId: pair().jobsetId })));
    const endless = ids.pop() ?? 0;
    await before.waitBusy(ids[0] ?? 0);
    await server.stop();
    await sleep(seconds * 1000);
    await server.start();

    await using after = await HydraTables.connect(databaseUrl, pair().store);
    await after.waitFinished(ids);
    await after.waitBusy(endless);
    await after.cancel([endless]);
    await until("the cancelled step to end", async () => (await after.busySteps()).length === 0);
    ids.push(endless);
    const { builds, steps } = shapesOf(await after.rows(ids), ids);
    expect(builds).toEqual([...Array.from({ length: 12 }, () => "0"), "4!"]);
    // Each ran once: no result was lost.
    expect(steps).toEqual([
      ...Array.from({ length: 12 }, (_, index) => `${index}.1 away-${seconds}-${index} build 0`),
      `12.1 away-${seconds}-endless build 4`,
    ]);
    await until("the trouble to be over", async () => (await health()).status === "ok");
    expect(await health()).toMatchObject({ status: "ok", problems: [] });
  });
}
