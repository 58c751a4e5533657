// Hydra's other programs act between any two statements of a recording transaction.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { SqlSession, TransactionRunner } from "../../lib/database/recording/index.js";
import { parseStorePath } from "../../lib/nix/path/store-path.js";
import { Recorder } from "../../lib/runner/recording/recorder.js";
import { summarise } from "../../lib/runner/state/build-report.js";
import { buildId } from "../../lib/scheduler/ids.js";
import { built, simpleAttempt, storeDir, TestTransactions } from "../support/recording.js";
import { testDatabase } from "../support/test-database.js";

let db: TestTransactions;

beforeAll(async () => {
  db = new TestTransactions(await testDatabase());
});

afterAll(() => db.pool.end());

beforeEach(() => db.reset());

/** Starts something else just before the statement with the given number, once. */
class Interrupted implements TransactionRunner {
  statements = 0;
  other: Promise<ReadonlySet<number>> = Promise.resolve(new Set());
  readonly #at: number;
  readonly #action: () => Promise<ReadonlySet<number>>;

  constructor(at: number, action: () => Promise<ReadonlySet<number>>) {
    this.#at = at;
    this.#action = action;
  }

  transaction<T>(work: (session: SqlSession) => Promise<T>): Promise<T> {
    return db.transaction((session) => {
      // What is sent together goes one by one here, in its order.
      let before: Promise<unknown> = Promise.resolve();
      return work({
        query: (text, values) => {
          const answer = before.then(async () => {
            if (this.statements++ === this.#at) await this.#interrupt();
            return session.query(text, values);
          });
          before = answer.catch(() => undefined);
          return answer;
        },
      });
    });
  }

  async #interrupt(): Promise<void> {
    this.other = this.#action();
    this.other.catch(() => undefined);
    // Time to do it, or to be stopped by our locks.
    await Promise.race([this.other, new Promise((resolve) => setTimeout(resolve, 20))]);
  }
}

/** What others do, as they do it; `returning` tells what was touched. */
const actions = {
  cancel:
    "update builds set finished = 1, buildstatus = 4, iscachedbuild = 0, starttime = 7, stoptime = 7" +
    " where finished = 0 returning id",
  delete: "delete from builds returning id",
  "delete the project": "begin; delete from builds; delete from jobsets; delete from projects; commit",
  restart: "update builds set finished = 0, iscachedbuild = 0 where finished = 1 returning id",
  repoint:
    "update builds set drvpath = '/nix/store/new.drv', finished = 0, buildstatus = null where id = 2 returning id",
  rename: "update projects set name = 'other'",
  "rename the jobset": "update jobsets set name = 'other'",
  bump: "update builds set globalpriority = 77",
} as const;
type Action = keyof typeof actions;

async function act(name: Action): Promise<ReadonlySet<number>> {
  const client = await db.pool.connect();
  try {
    const { rows } = await client.query<{ id: number }>(actions[name]);
    return new Set((rows ?? []).map((row) => row.id));
  } finally {
    client.release();
  }
}

/** How a build stands in the end; undefined = it is gone. */
function expectedStatus(name: Action, ours: number, affected: boolean): number | null | undefined {
  switch (name) {
    case "cancel":
      return affected ? 4 : ours;
    case "delete":
    case "delete the project":
      return undefined;
    case "restart":
    case "repoint":
    case "rename":
    case "rename the jobset":
    case "bump":
      return ours;
  }
  throw new Error("no such action");
}

const out = parseStorePath("00000000000000000000000000000002-x");
const outputs = new Map([
  [
    "out",
    built(out, 120, 120, {
      failed: false,
      releaseName: undefined,
      products: [],
      metrics: [{ name: "m", unit: undefined, value: 1 }],
    }),
  ],
]);

/** Records the end of a step of build 1 that decides builds 1, 2 and 3; their last run left a metric behind. */
async function end(database: TransactionRunner, how: "success" | "failure"): Promise<void> {
  await db.addBuilds(1, 3);
  await db.sql(
    "insert into buildmetrics (build, name, value, project, jobset, job, timestamp)" +
      " select id, 'old', 1, 'p', 'j', job, timestamp from builds",
  );
  const attempt = simpleAttempt(1, "x", [1, 2, 3]);
  const plain = new Recorder({ database: db, storeDir, logPath: (drv) => `/logs/${drv}` });
  const row = await plain.stepStarted(attempt);
  const subject = new Recorder({ database, storeDir, logPath: (drv) => `/logs/${drv}`, random: () => 0 });
  const builds = [1, 2, 3].map(buildId);
  if (how === "success") {
    await subject.stepSucceeded(attempt, row, {
      overheadMs: 0,
      outputs,
      summary: summarise(outputs),
      builds,
      accounted: buildId(1),
    });
  } else {
    await subject.stepFailed({
      attempt,
      row,
      facts: attempt.facts,
      status: 1,
      error: "no",
      overheadMs: 0,
      accounted: buildId(1),
      builds: builds.map((id) => ({ id, own: id === 1 })),
    });
  }
}

describe.each(["success", "failure"] as const)("%s of a step", (how) => {
  it.each(Object.keys(actions) as Action[])("and '%s' at any moment", async (name) => {
    const probe = new Interrupted(-1, () => act("bump"));
    await end(probe, how);
    expect(probe.statements).toBeGreaterThan(3);
    for (let at = 0; at < probe.statements; at++) {
      await db.reset();
      const interrupted = new Interrupted(at, () => act(name));
      await end(interrupted, how);
      // Rejects when we made it the victim of a deadlock: somebody would see an error page.
      const affected = await interrupted.other;
      const moment = `before statement ${at}`;
      expect(await db.sql("select 1 from buildsteps where busy <> 0"), moment).toEqual([]);
      const builds = await db.sql("select id, finished, buildstatus from builds order by id");
      const expected = [1, 2, 3].flatMap((id, index) => {
        const now = builds.find((build) => build.id === id);
        // Restarted or repointed after our commit: unfinished again, and nothing is lost.
        if ((name === "restart" || name === "repoint") && affected.has(id) && now?.finished === 0)
          return [now];
        const status = expectedStatus(
          name,
          (how === "success" ? [0, 0, 0] : [1, 2, 2])[index] ?? 0,
          affected.has(id),
        );
        return status === undefined ? [] : [{ id, finished: 1, buildstatus: status }];
      });
      expect(builds, moment).toEqual(expected);
      const metrics = await db.sql(
        "select build, m.name from buildmetrics m join jobsets j on j.name = m.jobset order by 1",
      );
      const measured = (id: unknown): boolean =>
        how === "success" && !(name === "cancel" && affected.has(Number(id)));
      expect(metrics, moment).toEqual(
        builds.map(({ id }) => ({ build: id, name: measured(id) ? "m" : "old" })),
      );
    }
  });
});
