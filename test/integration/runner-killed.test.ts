// A runner that is killed and started again: nothing is lost, nothing is reported twice, no row stays busy.
import { expect, test } from "vitest";
import { shellDerivation } from "../support/nix.js";
import { usePair } from "../support/pair.js";
import { testDatabase } from "../support/test-database.js";

const pair = usePair(async () => ({ databaseUrl: await testDatabase(), builders: [{}, {}] }));

test("builds go on after a kill", async () => {
  // Some are done, some run and some wait at the moment of the kill.
  const early = await pair().build(shellDerivation("early", "echo early > $out"));
  const ids = await pair().build(
    ...Array.from({ length: 12 }, (_, index) =>
      shellDerivation(`work-${index}`, `/bin/busybox sleep 1; echo ${index} > $out`),
    ),
  );
  await pair().tables.waitFinished(early);
  await pair().tables.waitBusy(ids[0] ?? 0);
  await pair().runner.kill();
  expect((await pair().tables.busySteps()).length).toBeGreaterThan(0);

  await pair().startRunner();
  await pair().tables.waitFinished(ids);
  await pair().notifications.settle();

  const rows = await pair().tables.rows([...early, ...ids]);
  expect(rows.Builds.map(({ finished, buildstatus }) => `${finished}/${buildstatus}`)).toEqual(
    [...early, ...ids].map(() => "1/0"),
  );
  expect(await pair().tables.busySteps()).toEqual([]);
  // When an orphan ended nobody knows: 0, as the recorded runner has it, so that no share is charged for it.
  for (const step of rows.BuildSteps) {
    if (step.status === 3) expect(step.stoptime).toBe(0);
    else expect(step.stoptime).toBeGreaterThanOrEqual(Number(step.starttime));
  }
  for (const id of [...early, ...ids]) {
    const finished = pair()
      .notifications.of([id])
      .filter(({ channel }) => channel === "build_finished");
    expect(finished, `build ${id}`).toHaveLength(1);
    expect(rows.BuildSteps.filter((step) => step.build === id && step.status === 0)).toHaveLength(1);
  }
});

test("the builders outlived it", () => {
  expect(pair().builder(0).process.running).toBe(true);
  expect(pair().builder(1).process.running).toBe(true);
});
