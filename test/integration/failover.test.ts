// Two runners on one database: one owns it, the other waits; killing the owner loses nothing and starts nothing twice.
import { expect, test } from "vitest";
import type { Child } from "../support/child.js";
import { shellDerivation } from "../support/nix.js";
import { usePair } from "../support/pair.js";
import { slowness } from "../support/slowness.js";
import { testDatabase } from "../support/test-database.js";
import { until } from "../support/until.js";

const pair = usePair(async () => ({ databaseUrl: await testDatabase(), builders: [{}, {}] }));

// Not from `/health`, which answers 503 while the disk of a busy machine lets it wait.
const stateOf = async (index: number): Promise<unknown> => {
  const path = "/status/overview";
  const { state } = await (index === 0 ? pair().get(path) : pair().getOnStandby(path));
  return state;
};

let runners: [Child, Child];

async function kill(active: number): Promise<void> {
  const standby = 1 - active;
  await runners[active]?.kill();
  // A takeover has to be done within ten seconds, on a machine that has nothing else to do.
  await until("the standby to take over", async () => (await stateOf(standby)) === "active", {
    timeoutMs: 20_000 * slowness(),
  });
  runners[active] = active === 0 ? await pair().startRunner() : await pair().startStandby();
}

test("the second one is a standby", async () => {
  runners = [pair().runner, await pair().startStandby()];
  expect(await stateOf(0)).toBe("active");
  expect(await stateOf(1)).toBe("standby");
  const overview = (): unknown => pair().get("/status/overview");
  const onStandby = (): unknown => pair().getOnStandby("/status/overview");
  await expect.poll(overview).toMatchObject({ state: "active", problems: [] });
  await expect.poll(onStandby).toMatchObject({ state: "standby", problems: [] });
  const health = (): unknown => pair().getOnStandby("/health");
  await expect.poll(health).toMatchObject({ state: "standby" });
  // Healthy, but no place to send work to.
  await expect(pair().getOnStandby("/ready")).rejects.toThrow(/503.*"state":"standby"/);
});

test("five kills: every build is finished and reported once, and a long one is not started again", async () => {
  const [long = 0] = await pair().build(
    shellDerivation("long", "echo begun; /bin/busybox sleep 15; echo end; echo > $out"),
  );
  await pair().tables.waitBusy(long);
  const many = await pair().build(
    ...Array.from({ length: 100 }, (_, index) =>
      shellDerivation(`work-${index}`, `/bin/busybox sleep 0.5; echo ${index} > $out`),
    ),
  );
  for (let round = 0; round < 5; round++) await kill(round % 2);
  const ids = [long, ...many];
  await pair().tables.waitFinished(ids);
  await pair().notifications.settle();

  const rows = await pair().tables.rows(ids);
  expect(rows.Builds.map(({ finished, buildstatus }) => `${finished}/${buildstatus}`)).toEqual(
    ids.map(() => "1/0"),
  );
  expect(await pair().tables.busySteps()).toEqual([]);
  for (const id of ids) {
    const ends = pair()
      .notifications.of([id])
      .filter(({ channel }) => channel === "build_finished");
    expect(ends, `build ${id}`).toHaveLength(1);
  }
  // Builds run in a sandbox and can leave no trace, but their builders say what they begin.
  const begun = [0, 1]
    .flatMap((index) => pair().builder(index).process.output().split("\n"))
    .filter((line) => line.includes("build started") && line.includes("-long.drv"));
  expect(begun).toHaveLength(1);
  const steps = rows.BuildSteps.filter((step) => step.build === long);
  // On a slow machine a runner may die between taking the outputs and recording that; the next one finds them.
  const found = rows.Builds.find((build) => build.id === long)?.iscachedbuild === 1;
  expect(steps.at(-1)).toMatchObject({ busy: 0, status: found ? 3 : 0 });
  for (const step of steps.slice(0, -1)) expect(step).toMatchObject({ busy: 0, status: 3, stoptime: 0 });
});
