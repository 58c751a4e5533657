// The recorder on the runner's own database connection: a server that restarts under load, an owner that changes.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { connectionSettings, HydraDatabase, OwnerLock } from "../../lib/database/index.js";
import { parseStorePath } from "../../lib/nix/path/store-path.js";
import { Recorder } from "../../lib/runner/recording/recorder.js";
import { summarise } from "../../lib/runner/state/build-report.js";
import { built, simpleAttempt, storeDir, TestTransactions } from "../support/recording.js";
import { testDatabase, testPostgres } from "../support/test-database.js";

let url: string;
let tables: TestTransactions;

beforeAll(async () => {
  url = await testDatabase();
  tables = new TestTransactions(url);
  await tables.reset();
});

afterAll(() => tables.pool.end());

function openDatabase(): HydraDatabase {
  return new HydraDatabase({ settings: connectionSettings(url, {}), maxConnections: 4 });
}

function recorderOn(database: HydraDatabase): Recorder {
  return new Recorder({ database, storeDir, logPath: (drv) => `/logs/${drv}` });
}

const outputs = new Map([["out", built(parseStorePath("00000000000000000000000000000002-x"), 120)]]);

describe("an outage", () => {
  it("loses no start and no result", async () => {
    const ids = await tables.addBuilds(1, 60);
    await using database = openDatabase();
    const subject = recorderOn(database);
    const server = await testPostgres();
    let started = 0;
    let halfway: (() => void) | undefined;
    const reached = new Promise<void>((resolve) => {
      halfway = resolve;
    });
    const builds = ids.map(async (id, index) => {
      await new Promise((resolve) => setTimeout(resolve, index * 10));
      const attempt = simpleAttempt(id, `n${id}`, [id]);
      const row = await subject.stepStarted(attempt);
      if (++started === ids.length / 2) halfway?.();
      await subject.stepSucceeded(attempt, row, {
        overheadMs: 1,
        outputs,
        summary: summarise(outputs),
        builds: [id],
        accounted: id,
      });
    });
    await reached;
    await server.stop();
    await server.start();
    await Promise.all(builds);
    expect(
      await tables.sql("select distinct finished, buildstatus, iscachedbuild from builds where id <= 60"),
    ).toEqual([{ finished: 1, buildstatus: 0, iscachedbuild: 0 }]);
    expect(
      await tables.sql(
        "select count(*)::int as rows, sum(busy)::int as busy, max(stepnr) as highest from buildsteps",
      ),
    ).toEqual([{ rows: 60, busy: 0, highest: 1 }]);
  });
});

describe("another owner", () => {
  it("keeps a runner that lost the database from writing", async () => {
    const [id] = await tables.addBuilds(1001);
    if (id === undefined) throw new Error("no build");
    await using first = openDatabase();
    await using second = openDatabase();
    const lock = new OwnerLock({ database: first });
    const successor = new OwnerLock({ database: second });
    expect(await lock.tryAcquire()).toBe(true);
    expect(await successor.tryAcquire()).toBe(false);
    first.fence(lock);
    second.fence(successor);
    const subject = recorderOn(first);
    const attempt = simpleAttempt(id, "x", [id]);
    const row = await subject.stepStarted(attempt);
    await lock.release();
    expect(await successor.tryAcquire()).toBe(true);
    await expect(subject.aborted(id)).rejects.toMatchObject({ code: "fenced" });
    expect(await tables.sql("select finished from builds where id = 1001")).toEqual([{ finished: 0 }]);
    expect(await recorderOn(second).clearOrphans()).toBe(1);
    expect(await tables.sql("select busy, status, stoptime from buildsteps where build = 1001")).toEqual([
      { busy: 0, status: 3, stoptime: 0 },
    ]);
    await expect(subject.orphanRow(row, 0)).rejects.toMatchObject({ code: "fenced" });
    await successor.release();
  });
});
