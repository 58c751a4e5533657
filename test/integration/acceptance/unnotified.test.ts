// Rows that nobody announced, or that cannot be used: the slow poll finds the first, and the second spoil nothing.
import { rename, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { shellDerivation } from "../../support/nix.js";
import { usePair } from "../../support/pair.js";
import { testDatabase } from "../../support/test-database.js";
import { until } from "../../support/until.js";
import { shapes } from "./shapes.js";

const pair = usePair(async () => ({
  databaseUrl: await testDatabase(),
  builders: [{ settings: { maxJobs: 1 } }],
  runner: { queueTriggerTimerInS: 1 },
}));

const quick = (name: string, attributes = ""): string => shellDerivation(name, "echo > $out", attributes);

/** A row without a word about it. */
async function insert(drv: string, jobsetId = pair().jobsetId): Promise<number> {
  const { client } = pair().tables;
  const { rows } = await client.query<{ id: number }>(
    `insert into builds (finished, timestamp, jobset_id, job, nixname, drvpath, system, priority)
       values (0, 1, $1, 'silent', 'silent', $2, 'x86_64-linux', 100) returning id`,
    [jobsetId, drv],
  );
  const id = rows[0]?.id ?? 0;
  await client.query("insert into buildoutputs (build, name) values ($1, 'out')", [id]);
  return id;
}

interface Skipped {
  readonly id: number;
  readonly reason: string;
  readonly since: number;
}

async function skipped(): Promise<readonly Skipped[]> {
  return (await pair().get("/status/overview")).skipped as Skipped[];
}

/** Deletes a path of the runner's store as its garbage collector would. */
async function collect(path: string): Promise<void> {
  const direct = `local?root=${pair().store.root}`;
  // The process that made it protects it until it has ended.
  await until(`${path} to be collected`, () =>
    pair()
      .store.run("nix-store", ["--store", direct, "--delete", "--ignore-liveness", path])
      .then(
        () => true,
        () => false,
      ),
  );
}

test("a build inserted without a notification is found", async () => {
  const [drv = ""] = await pair().instantiate(quick("silent"));
  const ids = [await insert(drv)];
  await pair().tables.waitFinished(ids);
  expect(await shapes(pair(), ids)).toMatchObject({ builds: ["0"], steps: ["0.1 silent build 0"] });
});

test("the evaluator repoints a build that runs and one that waits, without a notification", async () => {
  const { tables } = pair();
  const ids = await pair().build(shellDerivation("old-running", "/bin/busybox sleep 100; echo > $out"));
  await tables.waitBusy(ids[0] ?? 0);
  ids.push(...(await pair().build(quick("old-waiting"))));
  await until("both to be known", async () => (await pair().get("/status/builds")).buildCount === 2);
  const drvs = await pair().instantiate(quick("new-running"), quick("new-waiting"));
  for (const [index, drv] of drvs.entries()) {
    await tables.client.query("update builds set drvpath = $2 where id = $1", [ids[index], drv]);
  }
  await tables.waitFinished(ids);
  expect(await shapes(pair(), ids)).toMatchObject({
    builds: ["0", "0"],
    steps: ["0.1 old-running build 4", "0.2 new-running build 0", "1.1 new-waiting build 0"],
  });
});

test("a changed priority of the build itself counts, in both directions", async () => {
  const { tables } = pair();
  const [blocker = 0] = await pair().build(shellDerivation("blocker", "/bin/busybox sleep 100; echo > $out"));
  await tables.waitBusy(blocker);
  const ids = await pair().build(quick("prio-a"), quick("prio-b"), quick("prio-c"));
  const [a = 0, , c = 0] = ids;
  await tables.client.query("update builds set priority = 50 where id = $1", [a]);
  await tables.client.query("update builds set priority = 200 where id = $1", [c]);
  await until("the runner to know the priorities", async () => {
    const { builds } = await pair().get("/status/builds");
    const known = builds as { id: number; localPriority: number }[];
    return ids.map((id) => known.find((one) => one.id === id)?.localPriority).join() === "50,100,200";
  });
  await tables.cancel([blocker]);
  await tables.waitFinished(ids);
  const { heard } = await shapes(pair(), ids);
  expect(heard.filter((one) => one.startsWith("step_started"))).toEqual([
    "step_started 2.1",
    "step_started 1.1",
    "step_started 0.1",
  ]);
});

test("rows that cannot be used are left out and reported once, and taken in when they are repaired", async () => {
  const { client } = pair().tables;
  // Hydra's own check keeps such jobsets out, but the column alone does not.
  await client.query("alter table jobsets drop constraint jobsets_schedulingshares_nonzero_check");
  const broke = await pair().tables.addJobset("broke", { shares: 0 });
  const [drv = "", other = ""] = await pair().instantiate(quick("repaired"), quick("of-the-broke"));
  const ids = [
    await insert("no path at all"),
    await insert("/nix/store/zm6jm60iylv63nd1xvb86clzpidn147y-hello"),
    await insert("/nix/store/not-a-hash.drv"),
    await insert(other, broke),
    await insert((await pair().instantiate(quick("good")))[0] ?? ""),
  ];
  const good = ids[4] ?? 0;
  await pair().tables.waitFinished([good]);
  const noticed = Date.now();
  await sleep(50);
  const first = await skipped();
  for (const { since } of first) expect(since).toBeLessThanOrEqual(noticed);
  expect(new Set(first.map(({ id }) => ids.indexOf(id)))).toEqual(new Set([0, 1, 2, 3]));
  for (const { reason } of first) expect(reason).toMatch(/\w+ .*/);
  expect(first.find(({ id }) => id === ids[3])?.reason).toContain("broke has 0 scheduling shares");

  // Several passes later nothing was said again.
  const passes = async (): Promise<number> =>
    Number(/^\S*queue_checks_finished\S* (\d+)/m.exec(await metrics())?.[1]);
  const metrics = async (): Promise<string> => (await fetch(`${pair().statusUrl}/metrics`)).text();
  const seen = await passes();
  await until("two more passes", async () => (await passes()) >= seen + 2);
  expect(await skipped()).toEqual(first);
  const complaints = pair()
    .runner.output()
    .split("\n")
    .filter((line) => line.includes("unusable build row skipped"));
  expect(complaints).toHaveLength(4);
  expect(await metrics()).toMatch(/builds_skipped\S* 4/);

  await client.query("update builds set drvpath = $2 where id = $1", [ids[0], drv]);
  await client.query("update jobsets set schedulingshares = 50 where id = $1", [broke]);
  await client.query("delete from builds where id = any($1)", [[ids[1], ids[2]]]);
  await pair().tables.waitFinished([ids[0] ?? 0, ids[3] ?? 0]);
  await until("nothing to be skipped", async () => (await skipped()).length === 0);
  expect((await shapes(pair(), ids)).builds).toEqual(["0", "gone", "gone", "0", "0"]);
});

test("a derivation that was collected, or whose file is lost, aborts its builds and those above it", async () => {
  const lost = quick("lost");
  const drvs = await pair().instantiate(quick("collected"), lost, quick("above-lost", `input = ${lost};`));
  const [collected = "", file = ""] = drvs;
  await collect(collected);
  await rm(join(pair().store.realStoreDir, basename(file)));
  const ids: number[] = [];
  for (const drv of drvs) ids.push(await insert(drv));
  await pair().tables.waitFinished(ids);
  expect(await shapes(pair(), ids)).toEqual({
    builds: ["3", "3", "3"],
    steps: [],
    heard: ["build_finished 0", "build_finished 1", "build_finished 2"],
  });
  for (const row of (await pair().tables.rows(ids)).Builds) {
    expect(row.starttime).toBe(row.stoptime);
    expect(row.iscachedbuild).toBe(0);
  }
});

test("a derivation that is collected after it was read is built all the same", async () => {
  const [running = 0] = await pair().build(
    shellDerivation("before-collected", "/bin/busybox sleep 100; echo > $out"),
  );
  await pair().tables.waitBusy(running);
  const [drv = ""] = await pair().instantiate(quick("collected-late"));
  const [waiting = 0] = await pair().tables.addBuilds([{ drv, jobsetId: pair().jobsetId }]);
  await until("both to be known", async () => (await pair().get("/status/builds")).buildCount === 2);
  await collect(drv);
  await pair().tables.cancel([running]);
  await pair().tables.waitFinished([waiting]);
  expect(await shapes(pair(), [waiting])).toMatchObject({
    builds: ["0"],
    steps: ["0.1 collected-late build 0"],
  });
});

test("a store that does not answer delays the reading of a derivation, and aborts nothing", async () => {
  const { store } = pair();
  const [drv = ""] = await pair().instantiate(quick("unreachable"));
  const file = join(store.realStoreDir, basename(drv));
  // Only the daemon can read it now, and there is none.
  await rename(file, `${file}.away`);
  await store.stopDaemon();
  const ids = [await insert(drv)];
  await until("the queue monitor to have trouble", async () => {
    const response = await fetch(`${pair().statusUrl}/health`);
    return (await response.text()).includes('"part":"queue"');
  });
  expect((await shapes(pair(), ids)).builds).toEqual(["queued"]);
  await rename(`${file}.away`, file);
  await store.startDaemon();
  await pair().tables.waitFinished(ids);
  expect(await shapes(pair(), ids)).toMatchObject({ builds: ["0"], steps: ["0.1 unreachable build 0"] });
});
