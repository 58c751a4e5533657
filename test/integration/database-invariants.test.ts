// The invariant of the database: writers of many builds do not stop each other for good.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { connectionSettings, HydraDatabase } from "../../lib/database/index.js";
import type { SqlSession } from "../../lib/database/recording/index.js";
import { Recorder } from "../../lib/runner/recording/recorder.js";
import { type BuildId, buildId } from "../../lib/scheduler/ids.js";
import { simpleAttempt, storeDir, TestTransactions } from "../support/recording.js";
import { testDatabase } from "../support/test-database.js";
import { until } from "../support/until.js";

let url: string;
let db: TestTransactions;
let database: HydraDatabase;
let retries: unknown[] = [];

beforeAll(async () => {
  url = await testDatabase();
  db = new TestTransactions(url);
});
afterAll(() => db.pool.end());
beforeEach(async () => {
  await db.reset();
  retries = [];
  database = new HydraDatabase({
    settings: connectionSettings(url),
    maxConnections: 4,
    onRetry: (error) => retries.push(error),
  });
});
afterEach(() => database.close());

/** A failure of one step that decides `builds`, in the order given. */
async function fail(session: { transaction: HydraDatabase["transaction"] }, builds: readonly BuildId[]) {
  const recorder = new Recorder({
    database: session,
    storeDir,
    logPath: (drv) => `/logs/${drv}`,
    random: () => 0,
  });
  const own = builds[0] ?? buildId(1);
  const attempt = simpleAttempt(own);
  await recorder.stepFailed({
    attempt,
    row: await recorder.stepStarted(attempt),
    facts: attempt.facts,
    status: 1,
    error: "no",
    overheadMs: 0,
    accounted: own,
    builds: builds.map((id) => ({ id, own: id === own })),
  });
}

const finished = async (): Promise<number> =>
  Number((await db.sql("select count(*)::int as n from builds where finished = 1"))[0]?.n);

/** Runs `action` once, before the first statement of that kind. */
function interrupted(statement: RegExp, action: (session: SqlSession) => Promise<unknown>) {
  let done = false;
  const transaction: HydraDatabase["transaction"] = (work, options) =>
    database.transaction(
      (session) =>
        work({
          query: async (text, values) => {
            if (!done && statement.test(text)) {
              done = true;
              await action(session);
            }
            return session.query(text, values);
          },
        }),
      options,
    );
  return { transaction };
}

describe("I15: locks on many build rows are taken in id order; 40001 and 40P01 are retried", () => {
  it("in id order, whatever the order of the failures", async () => {
    const ids = await db.addBuilds(1, 9);
    const other = await db.pool.connect();
    try {
      await other.query("begin");
      await other.query("select 1 from builds where id = 5 for update");
      const failing = fail(database, [7, 3, 9, 5, 1, 8, 2, 6, 4].map(buildId));
      await until("our transaction to wait for build 5", async () => {
        return (await db.sql("select 1 from pg_locks where not granted")).length > 0;
      });
      // What can be locked by somebody else now is what comes after the build that is waited for.
      const free = await db.sql("select id from builds order by id for update skip locked");
      expect(free.map(({ id }) => id)).toEqual([6, 7, 8, 9]);
      await other.query("commit");
      await failing;
    } finally {
      other.release();
    }
    expect(await finished()).toBe(ids.length);
    expect(retries).toEqual([]);
  });

  it("many failures of overlapping builds at once end without a single deadlock", async () => {
    const ids = await db.addBuilds(1, 200);
    const shuffled = (n: number) => ids.map((_, i) => buildId(1 + ((i * (2 * n + 7) + n * 13) % 200)));
    await Promise.all([0, 1, 3, 4].map((n) => fail(database, [...new Set(shuffled(n))])));
    expect(await finished()).toBe(200);
    expect(retries).toEqual([]);
    expect(await db.sql("select 1 from buildsteps where busy <> 0")).toEqual([]);
  });

  it("40P01: the victim of a deadlock with another program does its work again", async () => {
    await db.addBuilds(1, 3);
    const other = await db.pool.connect();
    try {
      await other.query("begin");
      await other.query("set local deadlock_timeout = '1h'");
      await other.query("update jobsets set description = 'x'");
      // We hold a build and want the jobset; the other one holds the jobset and wants the build.
      const meeting = interrupted(/UPDATE builds b /, async (session) => {
        const theirs = other
          .query("update builds set job = 'y' where id = 2")
          .then(() => other.query("commit"));
        await session.query("update jobsets set description = 'z'");
        await theirs;
      });
      await fail(meeting, [1, 2, 3].map(buildId));
    } finally {
      other.release();
    }
    expect(retries).toMatchObject([{ code: "40P01" }]);
    expect(await finished()).toBe(3);
    expect(await db.sql("select build from buildsteps order by 1")).toEqual(
      [1, 2, 3].map((build) => ({ build })),
    );
  });

  it("40001: so does one that could not be serialised", async () => {
    await db.addBuilds(1, 3);
    const colliding = interrupted(/UPDATE builds b /, (session) =>
      session.query("do $$ begin raise exception 'no' using errcode = '40001'; end $$"),
    );
    await fail(colliding, [1, 2, 3].map(buildId));
    expect(retries).toMatchObject([{ code: "40001" }]);
    expect(await finished()).toBe(3);
    expect(await db.sql("select build from buildsteps order by 1")).toEqual(
      [1, 2, 3].map((build) => ({ build })),
    );
  });
});
