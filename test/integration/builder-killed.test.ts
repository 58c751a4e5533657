// A machine that dies in the middle of a build costs a retry on another machine, not the build.
import { expect, test } from "vitest";
import { shellDerivation } from "../support/nix.js";
import { usePair } from "../support/pair.js";
import { testDatabase } from "../support/test-database.js";

const pair = usePair(async () => ({ databaseUrl: await testDatabase(), builders: [{}, {}] }));

test("a build whose builder is killed succeeds on the other one", async () => {
  const [id = 0] = await pair().build(
    shellDerivation("outlives-it", "echo begun; /bin/busybox sleep 3; echo done > $out"),
  );
  const step = await pair().tables.waitBusy(id);
  const first = pair().builderNamed(String(step.machine));
  await first.process.kill();
  // With its machine the daemon would be gone as well.
  await first.store.stopDaemon();

  await pair().tables.waitFinished([id]);
  await pair().notifications.settle();
  const rows = await pair().tables.rows([id]);
  expect(rows.Builds).toMatchObject([{ finished: 1, buildstatus: 0, iscachedbuild: 0 }]);
  expect(rows.BuildSteps).toMatchObject([
    { stepnr: 1, busy: 0, status: 3, machine: first.name },
    { stepnr: 2, busy: 0, status: 0 },
  ]);
  expect(rows.BuildSteps[1]?.machine).not.toBe(first.name);
  expect(
    pair()
      .notifications.of([id])
      .map(({ channel, payload }) => `${channel} ${payload.split("\t").slice(0, 2).join()}`),
  ).toEqual([
    `step_started ${id},1`,
    `build_started ${id}`,
    `step_finished ${id},1`,
    `step_started ${id},2`,
    `step_finished ${id},2`,
    `build_finished ${id}`,
  ]);
  await pair().waitForBuilders(1);
});

test("it takes work again when it is back", async () => {
  const lost = [0, 1].find((index) => !pair().builder(index).process.running) ?? 0;
  await pair().builder(lost).store.startDaemon();
  pair().startBuilder(lost);
  await pair().waitForBuilders(2);
  // More than one machine can take at once, so both must work.
  const expressions = Array.from({ length: 8 }, (_, index) =>
    shellDerivation(`again-${index}`, `/bin/busybox sleep 1; echo ${index} > $out`),
  );
  const ids = await pair().build(...expressions);
  await pair().tables.waitFinished(ids);
  const rows = await pair().tables.rows(ids);
  expect(rows.Builds.map((build) => build.buildstatus)).toEqual(ids.map(() => 0));
  expect(new Set(rows.BuildSteps.map((step) => step.machine))).toEqual(
    new Set([pair().builder(0).name, pair().builder(1).name]),
  );
});
