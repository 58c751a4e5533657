// Points 7 to 9 of the acceptance list for the database: a killed runner, a failure that thousands of builds share,
// and others who change rows while steps run.
import { expect, test } from "vitest";
import { shellDerivation } from "../../support/nix.js";
import { usePair } from "../../support/pair.js";
import { testDatabase } from "../../support/test-database.js";
import { until } from "../../support/until.js";
import { shapes } from "./shapes.js";

const pair = usePair(async () => ({
  databaseUrl: await testDatabase(),
  builders: [{ settings: { maxJobs: 8 } }],
  // Finds what changes without a notification.
  runner: { queueTriggerTimerInS: 1 },
}));

const seconds = (name: string, duration: number, script = ""): string =>
  shellDerivation(name, `/bin/busybox sleep ${duration}; ${script}echo > $out`);

const killed: number[] = [];

test("point 7: after kill -9 no row is busy", async () => {
  // Long enough for a busy machine to have both killed meanwhile.
  killed.push(...(await pair().build(seconds("killed-1", 6), seconds("killed-2", 6))));
  for (const id of killed) await pair().tables.waitBusy(id);
  // The builder dies as well: ours could go on with its work.
  await pair().builder().process.kill();
  await pair().runner.kill();
  expect(await pair().tables.busySteps()).toHaveLength(2);
  await pair().startRunner();
  expect(await pair().tables.busySteps()).toEqual([]);
  pair().startBuilder();
});

test("point 8: one step fails 5,000 builds; each is named once, in payloads the server takes", async () => {
  const { tables, notifications } = pair();
  const failing = shellDerivation("shared-failure", "exit 1");
  const drvs = await pair().instantiate(
    failing,
    ...Array.from({ length: 9 }, (_, index) =>
      shellDerivation(`needs-it-${index}`, "echo > $out", `input = ${failing};`),
    ),
  );
  // Nothing starts before all builds are read: one that is read later is answered from what failed.
  const switchMachine = (action: string) =>
    fetch(`${pair().statusUrl}/machines/builder-a/${action}`, { method: "POST" });
  // What the test before left runs again on a builder that comes back.
  await tables.waitFinished(killed);
  await until("the machine to be drained", async () => (await switchMachine("drain")).ok);
  // Long ids make long payloads.
  await tables.client.query("select setval('builds_id_seq', 1000000000)");
  await tables.client.query("begin");
  const { rows } = await tables.client.query<{ id: number }>(
    `insert into builds (finished, timestamp, jobset_id, job, nixname, drvpath, system)
       select 0, 1, $1, 'many-' || i, 'many', ($2::text[])[1 + i % 10], 'x86_64-linux' from generate_series(0, 4999) i
       returning id`,
    [pair().jobsetId, drvs],
  );
  const ids = rows.map((row) => row.id);
  await tables.client.query("insert into buildoutputs (build, name) select unnest($1::int[]), 'out'", [ids]);
  await tables.client.query("select pg_notify('builds_added', $1)", [String(ids[0])]);
  await tables.client.query("commit");
  await until("all builds to be read", async () => {
    const { queueRunner } = await pair().get("/status");
    return (queueRunner as { readonly buildCount: number }).buildCount === ids.length;
  });
  expect((await switchMachine("resume")).status).toBe(200);
  await tables.waitFinished(ids);
  await notifications.settle();

  const wanted = new Set(ids.map(String));
  const payloads = notifications.all
    .filter(
      ({ channel, payload }) => channel === "build_finished" && wanted.has(payload.split("\t")[0] ?? ""),
    )
    .map(({ payload }) => payload);
  expect(payloads.length).toBeGreaterThan(7);
  for (const payload of payloads) expect(Buffer.byteLength(payload)).toBeLessThanOrEqual(7000);
  const named = payloads.flatMap((payload) => payload.split("\t"));
  expect(named).toHaveLength(5000);
  expect(new Set(named)).toEqual(wanted);
  // The build that the step was run for comes first.
  expect(named[0]).toBe(String(ids[0]));

  const statuses = await tables.client.query(
    `select (id - $1) % 10 = 0 as own, buildstatus, iscachedbuild, count(*)::int as builds,
            count(notificationpendingsince)::int as pending
       from builds where id = any($2) group by 1, 2, 3 order by 1 desc`,
    [ids[0], ids],
  );
  expect(statuses.rows).toEqual([
    { own: true, buildstatus: 1, iscachedbuild: 0, builds: 500, pending: 500 },
    { own: false, buildstatus: 2, iscachedbuild: 0, builds: 4500, pending: 4500 },
  ]);
  const steps = await tables.client.query(
    `select propagatedfrom, stepnr, type, busy, status, drvpath = $1 as own, starttime is null as copied,
            count(*)::int as steps
       from buildsteps where build = any($2) group by 1, 2, 3, 4, 5, 6, 7 order by steps`,
    [drvs[0], ids],
  );
  expect(steps.rows).toEqual([
    { propagatedfrom: null, stepnr: 1, type: 0, busy: 0, status: 1, own: true, copied: false, steps: 1 },
    { propagatedfrom: ids[0], stepnr: 1, type: 0, busy: 0, status: 1, own: true, copied: true, steps: 4999 },
  ]);
});

// Every moment of the recording transactions is tried in recorder-races.test.ts; here it is all programs together.
test("point 9: cancel, delete, restart, repoint and rename while steps run", async () => {
  const { tables, notifications } = pair();
  const metric =
    "/bin/busybox mkdir -p $out/nix-support; echo lines 7 > $out/nix-support/hydra-metrics; exit 0; ";
  const [instead = ""] = await pair().instantiate(seconds("race-instead", 0));
  const ids = await pair().build(
    seconds("race-cancel", 60),
    seconds("race-delete", 60),
    // Long enough for a busy machine to see all of them run.
    seconds("race-restart", 5),
    seconds("race-repoint", 60),
    seconds("race-rename", 5, metric),
  );
  const [cancel = 0, gone = 0, restart = 0, repoint = 0, rename = 0] = ids;
  for (const id of ids) await tables.waitBusy(id);
  await tables.cancel([cancel, restart]);
  await tables.client.query("update builds set drvpath = $2 where id = $1", [repoint, instead]);
  await tables.client.query("delete from builds where id = $1", [gone]);
  await tables.client.query("update jobsets set name = 'renamed' where id = $1", [pair().jobsetId]);
  await tables.client.query("update projects set name = 'other'");
  await until("the cancelled steps to end", async () => {
    const { BuildSteps } = await tables.rows([cancel, restart]);
    return BuildSteps.every((step) => step.busy === 0);
  });
  await tables.restart(restart);
  await tables.waitFinished([restart, repoint, rename]);
  await until("no step to be busy", async () => (await tables.busySteps()).length === 0);
  const { builds, steps, heard } = await shapes({ tables, notifications }, ids);
  expect(builds).toEqual(["4!", "gone", "0", "0", "0"]);
  expect(steps).toEqual([
    "0.1 race-cancel build 4",
    "2.1 race-restart build 4",
    "2.2 race-restart build 0",
    "3.1 race-repoint build 4",
    "3.2 race-instead build 0",
    "4.1 race-rename build 0",
  ]);
  expect(heard.filter((one) => one.startsWith("build_finished")).toSorted()).toEqual([
    "build_finished 2",
    "build_finished 3",
    "build_finished 4",
  ]);
  expect((await tables.rows([rename])).BuildMetrics).toMatchObject([
    { name: "lines", value: 7, project: "other", jobset: "renamed" },
  ]);
  expect((await tables.rows([restart])).Builds).toMatchObject([{ id: restart, iscachedbuild: 0 }]);
});

test("limits of a step are limits of all builds above it, never failed dependencies", async () => {
  const slow = shellDerivation("slow", "/bin/busybox sleep 60; echo > $out");
  const drvs = await pair().instantiate(
    slow,
    shellDerivation("above-slow", "echo > $out", `input = ${slow};`),
  );
  const ids = await pair().tables.addBuilds(
    drvs.map((drv) => ({ drv, jobsetId: pair().jobsetId, timeout: 1 })),
  );
  await pair().tables.waitFinished(ids);
  expect(await shapes(pair(), ids)).toMatchObject({
    builds: ["7", "7"],
    steps: ["0.1 slow build 7", "1.1 slow build 7 from 0"],
  });
});

test("point 7: what ran at the kill is built under the next step number", async () => {
  await pair().tables.waitFinished(killed);
  const { builds, steps, heard } = await shapes(pair(), killed);
  expect(builds).toEqual(["0", "0"]);
  expect(steps).toEqual([
    "0.1 killed-1 build 3 orphan",
    "0.2 killed-1 build 0",
    "1.1 killed-2 build 3 orphan",
    "1.2 killed-2 build 0",
  ]);
  expect(heard.filter((one) => /finished 0/.test(one))).toEqual([
    "step_finished 0.2 log",
    "build_finished 0",
  ]);
  expect(await pair().get("/status/builds")).toMatchObject({ buildCount: 0 });
  expect(await pair().get("/status/steps")).toMatchObject({ stepCount: 0 });
});

test("a step that uses up its tries aborts all builds above it", async () => {
  const doomed = seconds("doomed", 100);
  const ids = await pair().build(
    doomed,
    shellDerivation("above-doomed", "echo > $out", `input = ${doomed};`),
  );
  // A daemon that is gone would be another matter: a machine without one gets no further try.
  for (const stepnr of [1, 2]) {
    await until(`try ${stepnr} to be built`, async () =>
      (await pair().tables.busySteps()).some((step) => step.busy === 30 && step.stepnr === stepnr),
    );
    await pair().builder().store.killWorkers();
  }
  await pair().tables.waitFinished(ids);
  const { builds, steps, heard } = await shapes(pair(), ids);
  expect(builds).toEqual(["3", "3"]);
  expect(steps).toEqual(["0.1 doomed build 3", "0.2 doomed build 3", "1.1 doomed build 3 from 0"]);
  expect(heard).toEqual([
    "step_started 0.1",
    "build_started 0",
    "step_finished 0.1 log",
    "step_started 0.2",
    "step_finished 0.2 log",
    "build_finished 0 1",
  ]);
  for (const step of (await pair().tables.rows(ids)).BuildSteps) expect(step.errormsg).toMatch(/nix-daemon/);
  // What was not the derivation's fault is not remembered.
  expect((await pair().tables.rows(ids)).FailedPaths).toEqual([]);
});
