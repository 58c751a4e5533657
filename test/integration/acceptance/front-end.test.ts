// What people do in the front-end while builds wait and run: cancel, restart, bump, delete, change shares. The runner
// polls only every five minutes here, so whatever happens was heard as a notification.
import { expect, test } from "vitest";
import { shellDerivation } from "../../support/nix.js";
import { usePair } from "../../support/pair.js";
import { testDatabase } from "../../support/test-database.js";
import { until } from "../../support/until.js";
import { shapes } from "./shapes.js";

const pair = usePair(async () => ({
  databaseUrl: await testDatabase(),
  builders: [{ settings: { maxJobs: 1 } }],
}));

const quick = (name: string, attributes = ""): string => shellDerivation(name, "echo > $out", attributes);
const endless = (name: string): string => shellDerivation(name, "/bin/busybox sleep 100; echo > $out");

let blockers = 0;

/** Occupies the only slot; `free` cancels it. */
async function block(): Promise<{ readonly id: number; free(): Promise<void> }> {
  const [id = 0] = await pair().build(endless(`blocker-${++blockers}`));
  await pair().tables.waitBusy(id);
  return { id, free: () => pair().tables.cancel([id]) };
}

/** Waits until the runner knows the builds by these global priorities. */
async function waitForPriorities(wanted: ReadonlyMap<number, number>): Promise<void> {
  await until("the runner to know the builds", async () => {
    const { builds } = await pair().get("/status/builds");
    const known = new Map(
      (builds as { id: number; globalPriority: number }[]).map((one) => [one.id, one.globalPriority]),
    );
    return [...wanted].every(([id, priority]) => known.get(id) === priority);
  });
}

async function startOrder(ids: readonly number[]): Promise<number[]> {
  await pair().tables.waitFinished(ids);
  await pair().notifications.settle();
  return pair()
    .notifications.of(ids)
    .filter(({ channel }) => channel === "step_started")
    .map(({ payload }) => ids.indexOf(Number(payload.split("\t")[0])));
}

const idle = (): Promise<unknown> =>
  until("no step to be busy", async () => (await pair().tables.busySteps()).length === 0);

test("a build is cancelled, cancelled once more, restarted, and cancelled again while it runs", async () => {
  const ids = await pair().build(endless("twice"));
  const [id = 0] = ids;
  await pair().tables.waitBusy(id);
  await pair().tables.cancel(ids);
  await idle();
  await pair().tables.cancel(ids);
  expect(await shapes(pair(), ids)).toEqual({
    builds: ["4!"],
    steps: ["0.1 twice build 4"],
    heard: ["step_started 0.1", "build_started 0", "step_finished 0.1 log"],
  });
  const before = pair().notifications.all.length;
  await pair().tables.restart(id);
  await pair().tables.waitBusy(id);
  await pair().tables.cancel(ids);
  await idle();
  expect(await shapes(pair(), ids, before)).toEqual({
    builds: ["4!"],
    steps: ["0.1 twice build 4", "0.2 twice build 4"],
    heard: ["step_started 0.2", "build_started 0", "step_finished 0.2 log"],
  });
});

test("a build that is cancelled and restarted in one breath is built", async () => {
  // Long enough for a busy machine to cancel it meanwhile.
  const ids = await pair().build(shellDerivation("breath", "/bin/busybox sleep 4; echo > $out"));
  const [id = 0] = ids;
  await pair().tables.waitBusy(id);
  await pair().tables.cancel(ids);
  await pair().tables.restart(id);
  await pair().tables.waitFinished(ids);
  const { builds, steps, heard } = await shapes(pair(), ids);
  expect(builds).toEqual(["0"]);
  // The runner may or may not have looked in between.
  const last = `0.${steps.length} breath build 0`;
  expect(steps).toEqual(steps.length === 1 ? [last] : ["0.1 breath build 4", last]);
  expect(heard.filter((one) => one.startsWith("build_finished"))).toEqual(["build_finished 0"]);
});

test("a cancel, then a restart after the runner has seen the cancel", async () => {
  // Long enough for a busy machine to cancel it meanwhile.
  const ids = await pair().build(shellDerivation("again", "/bin/busybox sleep 4; echo > $out"));
  const [id = 0] = ids;
  await pair().tables.waitBusy(id);
  await pair().tables.cancel(ids);
  await until("the runner to forget the build", async () => {
    const { builds } = await pair().get("/status/builds");
    return !(builds as { id: number }[]).some((one) => one.id === id);
  });
  await pair().tables.restart(id);
  await pair().tables.waitFinished(ids);
  const { builds, steps, heard } = await shapes(pair(), ids);
  expect(builds).toEqual(["0"]);
  expect(steps).toEqual(["0.1 again build 4", "0.2 again build 0"]);
  // The new start and the old end are committed side by side.
  expect(heard.filter((one) => one.startsWith("step_")).toSorted()).toEqual([
    "step_finished 0.1 log",
    "step_finished 0.2 log",
    "step_started 0.1",
    "step_started 0.2",
  ]);
  expect(heard[1]).toBe("build_started 0");
  expect(heard.slice(-2)).toEqual(["step_finished 0.2 log", "build_finished 0"]);
});

test("a finished build that is restarted is cached, and keeps no second set of products", async () => {
  const product =
    "/bin/busybox mkdir -p $out/nix-support; echo doc manual $out > $out/nix-support/hydra-build-products";
  const ids = await pair().build(shellDerivation("restarted", product));
  const [id = 0] = ids;
  await pair().tables.waitFinished(ids);
  const before = await pair().tables.rows(ids);
  await pair().tables.restart(id);
  await pair().tables.waitFinished(ids);
  expect(await shapes(pair(), ids)).toEqual({
    builds: ["0 cached"],
    steps: ["0.1 restarted build 0"],
    heard: [
      "step_started 0.1",
      "build_started 0",
      "step_finished 0.1 log",
      "build_finished 0",
      "build_finished 0",
    ],
  });
  const after = await pair().tables.rows(ids);
  expect(after.BuildProducts).toEqual(before.BuildProducts);
  expect(after.BuildProducts).toMatchObject([{ productnr: 1, type: "doc", subtype: "manual" }]);
  expect(after.BuildOutputs).toEqual(before.BuildOutputs);
});

test("a build that failed below itself is restarted: the failure is forgotten and tried again", async () => {
  const below = shellDerivation("below", "exit 1");
  const ids = await pair().build(below, quick("above", `input = ${below};`));
  const [, above = 0] = ids;
  await pair().tables.waitFinished(ids);
  const steps = ["0.1 below build 1", "1.1 below build 1 from 0"];
  expect(await shapes(pair(), ids)).toMatchObject({ builds: ["1", "2"], steps });
  await pair().tables.restart(above);
  await pair().tables.waitFinished(ids);
  const after = await shapes(pair(), ids);
  expect(after).toMatchObject({ builds: ["1", "2"], steps: [...steps, "1.2 below build 1"] });
  expect(after.heard.slice(-4)).toEqual([
    "step_started 1.2",
    "build_started 1",
    "step_finished 1.2 log",
    "build_finished 1",
  ]);
});

test("a build of what an earlier one failed with output is that, too", async () => {
  const failed = shellDerivation(
    "six",
    "/bin/busybox mkdir -p $out/nix-support; : > $out/nix-support/failed",
  );
  const ids = await pair().build(failed);
  await pair().tables.waitFinished(ids);
  ids.push(...(await pair().build(failed)));
  await pair().tables.waitFinished(ids);
  expect(await shapes(pair(), ids)).toMatchObject({ builds: ["6", "6 cached"], steps: ["0.1 six build 0"] });
});

test("the evaluator repoints a finished build: it is built again, from the new derivation", async () => {
  const ids = await pair().build(shellDerivation("pointed", "exit 1"));
  const [id = 0] = ids;
  await pair().tables.waitFinished(ids);
  const [instead = ""] = await pair().instantiate(quick("repointed"));
  await pair().tables.client.query(
    "update builds set drvpath = $2, finished = 0, buildstatus = null where id = $1",
    [id, instead],
  );
  await pair().tables.waitFinished(ids);
  const { builds, steps, heard } = await shapes(pair(), ids);
  expect(builds).toEqual(["0"]);
  expect(steps).toEqual(["0.1 pointed build 1", "0.2 repointed build 0"]);
  expect(heard.slice(4)).toEqual([
    "step_started 0.2",
    "build_started 0",
    "step_finished 0.2 log",
    "build_finished 0",
  ]);
});

test("bumps count at once, upwards and downwards", async () => {
  const { tables } = pair();
  const blocker = await block();
  const ids = await pair().build(quick("bump-a"), quick("bump-b"), quick("bump-c"), quick("bump-d"));
  const [a = 0, b = 0, c = 0, d = 0] = ids;
  const set = (id: number, priority: number): Promise<unknown> =>
    tables.client.query("update builds set globalpriority = $2 where id = $1", [id, priority]);
  await set(d, 2000);
  await waitForPriorities(new Map([[d, 2000]]));
  await set(c, 3000);
  await set(b, 1000);
  // What was in front goes back to the end.
  await set(d, 0);
  await waitForPriorities(
    new Map([
      [a, 0],
      [b, 1000],
      [c, 3000],
      [d, 0],
    ]),
  );
  await blocker.free();
  expect(await startOrder(ids)).toEqual([2, 1, 0, 3]);
});

test("builds are deleted while they wait and while they run", async () => {
  const { tables } = pair();
  const blocker = await block();
  const ids = [blocker.id, ...(await pair().build(quick("deleted"), quick("kept")))];
  const [running = 0, waiting = 0, kept = 0] = ids;
  await waitForPriorities(
    new Map([
      [waiting, 0],
      [kept, 0],
    ]),
  );
  await tables.client.query("delete from builds where id = any($1)", [[running, waiting]]);
  await tables.waitFinished([kept]);
  expect(await shapes(pair(), ids)).toEqual({
    builds: ["gone", "gone", "0"],
    steps: ["2.1 kept build 0"],
    heard: [
      "step_started 0.1",
      "build_started 0",
      "step_started 2.1",
      "build_started 2",
      "step_finished 2.1 log",
      "build_finished 2",
    ],
  });
  expect(await pair().get("/status/builds")).toMatchObject({ buildCount: 0 });
  expect(await pair().get("/status/steps")).toMatchObject({ stepCount: 0 });
});

test("changed shares count at once", async () => {
  const { tables } = pair();
  // Both jobsets used the machines for 1000 s today, so the one with more shares is next.
  const jobsets = [
    await tables.addJobset("poor", { shares: 100 }),
    await tables.addJobset("rich", { shares: 200 }),
  ];
  const [used = ""] = await pair().instantiate(quick("used"));
  for (const jobsetId of jobsets) {
    const [id = 0] = await tables.addBuilds([{ drv: used, jobsetId }]);
    await tables.waitFinished([id]);
    await tables.client.query(
      "insert into buildsteps (build, stepnr, type, drvpath, busy, status, starttime, stoptime) select $1, 9, 0, $2, 0, 0, now - 2000, now - 1000 from (select extract(epoch from now())::int as now)",
      [id, used],
    );
  }
  // What a jobset used before is read once.
  await pair().runner.stop();
  await pair().startRunner();
  await pair().waitForBuilders(1);
  const order = async (names: readonly string[], meanwhile: () => Promise<void>): Promise<number[]> => {
    const blocker = await block();
    const drvs = await pair().instantiate(...names.map((name) => quick(name)));
    const ids = await tables.addBuilds(drvs.map((drv, index) => ({ drv, jobsetId: jobsets[index] ?? 0 })));
    await waitForPriorities(new Map(ids.map((id) => [id, 0])));
    await meanwhile();
    await blocker.free();
    return startOrder(ids);
  };
  expect(await order(["poor-1", "rich-1"], async () => {})).toEqual([1, 0]);
  const changed = async (): Promise<void> => {
    await tables.client.query("update jobsets set schedulingshares = 1000 where name = 'poor'");
    await until("the runner to know the shares", async () => {
      const known = (await pair().get("/status/jobsets")).jobsets as Record<string, { shares: number }>;
      return known["p:poor"]?.shares === 1000;
    });
  };
  expect(await order(["poor-2", "rich-2"], changed)).toEqual([0, 1]);
});
