// The recorder among others: builds that are cancelled, deleted, restarted or renamed meanwhile, writers at the same
// time, a database that is away, and results of a size that nobody planned for.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { DatabaseError } from "../../lib/database/errors.js";
import { RecordingError } from "../../lib/database/recording/index.js";
import type { StorePath } from "../../lib/nix/path/store-path.js";
import type { NixSupport } from "../../lib/rpc/types.js";
import { Recorder, type RecorderOptions } from "../../lib/runner/recording/recorder.js";
import type { Attempt, StepRow } from "../../lib/runner/state/attempts.js";
import { summarise } from "../../lib/runner/state/build-report.js";
import { type BuildId, buildId } from "../../lib/scheduler/ids.js";
import { NotificationRecorder } from "../support/notifications.js";
import { built, simpleAttempt, storeDir, TestTransactions } from "../support/recording.js";
import { testDatabase } from "../support/test-database.js";
import { until } from "../support/until.js";

let url: string;
let db: TestTransactions;
let heard: NotificationRecorder;
let ended: [number, number][] = [];
const nowMs = 2_000_000;
const out = "00000000000000000000000000000002-x" as StorePath;

beforeAll(async () => {
  url = await testDatabase();
  db = new TestTransactions(url);
});

afterAll(() => db.pool.end());

beforeEach(async () => {
  await db.reset();
  db.loseAnswers = false;
  db.refused = 0;
  ended = [];
  heard = await NotificationRecorder.connect(url);
});

afterEach(() => heard.close());

function recorder(options: Partial<RecorderOptions> = {}): Recorder {
  return new Recorder({
    database: db,
    storeDir,
    logPath: (drv) => `/logs/${drv}`,
    onEnded: (build, result) => ended.push([build, result.status]),
    now: () => nowMs,
    random: () => 0,
    ...options,
  });
}

async function said(channel: string): Promise<string[]> {
  await heard.settle();
  return heard.all.filter((one) => one.channel === channel).map((one) => one.payload);
}

async function succeed(
  subject: Recorder,
  attempt: Attempt,
  row: StepRow,
  builds: readonly BuildId[],
  support?: NixSupport,
): Promise<void> {
  const outputs = new Map([["out", built(out, 120, 500, support)]]);
  await subject.stepSucceeded(attempt, row, {
    overheadMs: 5,
    outputs,
    summary: summarise(outputs),
    builds,
    accounted: row.build,
  });
}

describe("step numbers", () => {
  it("are given to many starts of one build at once without gaps, in few transactions", async () => {
    const [build] = await db.addBuilds(1);
    const subject = recorder();
    const before = db.committed;
    const attempts = Array.from({ length: 300 }, (_, index) => simpleAttempt(build ?? 0, `x${index}`));
    const rows = await Promise.all(attempts.map((attempt) => subject.stepStarted(attempt)));
    expect(rows.map((row) => row.stepNumber)).toEqual(Array.from({ length: 300 }, (_, index) => index + 1));
    expect(db.committed - before).toBeLessThanOrEqual(3);
    expect(await said("step_started")).toEqual(rows.map((row) => `1\t${row.stepNumber}`));
    expect(await said("build_started")).toEqual(["1"]);
    const drvs = await db.sql("select drvpath from buildsteps order by stepnr");
    expect(drvs.map((row) => row.drvpath)).toEqual(attempts.map((attempt) => `${storeDir}/${attempt.drv}`));
  });

  it("stay unique when other programs insert rows of the same builds at the same time", async () => {
    await db.addBuilds(1, 3);
    const writers = Array.from({ length: 6 }, () => recorder());
    const rows = await Promise.all(
      writers.flatMap((writer, which) =>
        Array.from({ length: 20 }, (_, index) =>
          writer.stepStarted(simpleAttempt(1 + (index % 3), `w${which}-${index}`)),
        ),
      ),
    );
    expect(new Set(rows.map((row) => `${row.build}/${row.stepNumber}`)).size).toBe(120);
    expect(
      await db.sql("select count(*)::int as rows, count(distinct drvpath)::int as drvs from buildsteps"),
    ).toEqual([{ rows: 120, drvs: 120 }]);
    const highest = await db.sql(
      "select build, max(stepnr) as highest from buildsteps group by build order by build",
    );
    expect(highest).toEqual([
      { build: 1, highest: 42 },
      { build: 2, highest: 42 },
      { build: 3, highest: 36 },
    ]);
  });

  it("go on after the rows of an earlier run", async () => {
    await db.addBuilds(1);
    await recorder().stepStarted(simpleAttempt(1, "a"));
    await db.sql(
      "insert into buildsteps (build, stepnr, type, drvpath, busy) values (1, 7, 0, '/nix/store/y', 0)",
    );
    expect(await recorder().stepStarted(simpleAttempt(1, "b"))).toEqual({ build: 1, stepNumber: 8 });
  });

  it("are not used for two rows when the answer to the first insert got lost", async () => {
    await db.addBuilds(1);
    db.loseAnswers = true;
    const subject = recorder();
    expect(await subject.stepStarted(simpleAttempt(1))).toEqual({ build: 1, stepNumber: 1 });
    const facts = simpleAttempt(1, "sub").facts;
    await subject.substituted(buildId(1), facts, new Map([["out", out]]), 3_000_500, 4_000_000);
    await subject.resolved(simpleAttempt(1, "from"), "00000000000000000000000000000003-to.drv" as StorePath);
    expect(
      await db.sql(
        "select stepnr, type, status, starttime, stoptime, machine, system from buildsteps order by 1",
      ),
    ).toEqual([
      {
        stepnr: 1,
        type: 0,
        status: null,
        starttime: 1000,
        stoptime: null,
        machine: "vm",
        system: "x86_64-linux",
      },
      { stepnr: 2, type: 1, status: 0, starttime: 3000, stoptime: 4000, machine: "", system: null },
      {
        stepnr: 3,
        type: 0,
        status: 13,
        starttime: 1000,
        stoptime: 1000,
        machine: "vm",
        system: "x86_64-linux",
      },
    ]);
    expect(await said("step_started")).toEqual(["1\t1"]);
  });
});

describe("progress", () => {
  it("is written for the furthest report and never touches a row that ended", async () => {
    await db.addBuilds(1);
    const subject = recorder();
    const attempt = simpleAttempt(1);
    attempt.row = subject.stepStarted(attempt);
    const row = await attempt.row;
    for (const busy of [10, 30, 20]) subject.stepBusy(attempt, busy);
    const busy = async (): Promise<unknown> => (await db.sql("select busy from buildsteps"))[0]?.busy;
    await until("the progress to be written", async () => (await busy()) === 30);
    subject.stepBusy(attempt, 20);
    subject.stepBusy(attempt, 40);
    await until("more progress to be written", async () => (await busy()) === 40);
    subject.stepBusy(attempt, 50);
    await succeed(subject, attempt, row, []);
    subject.stepBusy(attempt, 50);
    const other = simpleAttempt(1, "other");
    other.row = subject.stepStarted(other);
    await other.row;
    subject.stepBusy(other, 30);
    await until("the other step's progress", async () => {
      const rows = await db.sql("select busy, status from buildsteps order by stepnr");
      expect(rows[0]).toEqual({ busy: 0, status: 0 });
      return rows[1]?.busy === 30;
    });
  });

  it("of a step whose row could not be written is forgotten", async () => {
    const subject = recorder();
    const attempt = simpleAttempt(99);
    attempt.row = subject.stepStarted(attempt);
    subject.stepBusy(attempt, 30);
    await expect(attempt.row).rejects.toMatchObject({ code: "build-gone" });
    await expect(attempt.row).rejects.toBeInstanceOf(RecordingError);
  });
});

describe("what others do meanwhile", () => {
  it("a cancelled build stays cancelled when its step succeeds, and nothing is said of it", async () => {
    await db.addBuilds(1, 2);
    const subject = recorder();
    const attempt = simpleAttempt(1, "x", [1, 2]);
    const row = await subject.stepStarted(attempt);
    await db.sql("update builds set finished = 1, buildstatus = 4, starttime = 7, stoptime = 7 where id = 1");
    await succeed(subject, attempt, row, [buildId(1), buildId(2)]);
    expect(await db.sql("select id, buildstatus, stoptime, iscachedbuild from builds order by id")).toEqual([
      { id: 1, buildstatus: 4, stoptime: 7, iscachedbuild: null },
      { id: 2, buildstatus: 0, stoptime: 2000, iscachedbuild: 1 },
    ]);
    expect(await said("build_finished")).toEqual(["2"]);
    expect(await said("step_finished")).toEqual([`1\t1\t/logs/${attempt.drv}`]);
    expect(ended).toEqual([
      [1, 4],
      [2, 0],
    ]);
  });

  it("deleted builds do not keep the others from failing", async () => {
    await db.addBuilds(1, 5);
    const subject = recorder();
    const attempt = simpleAttempt(1);
    const row = await subject.stepStarted(attempt);
    await db.sql("delete from builds where id in (1, 3)");
    await subject.stepFailed({
      attempt,
      row,
      facts: attempt.facts,
      status: 1,
      error: "no",
      overheadMs: 0,
      accounted: buildId(1),
      builds: [1, 2, 3, 4, 5].map((id) => ({ id: buildId(id), own: id === 4 })),
    });
    expect(await db.sql("select id, buildstatus from builds order by id")).toEqual([
      { id: 2, buildstatus: 2 },
      { id: 4, buildstatus: 1 },
      { id: 5, buildstatus: 2 },
    ]);
    expect(await db.sql("select build, status, propagatedfrom from buildsteps order by build")).toEqual(
      [2, 4, 5].map((build) => ({ build, status: 1, propagatedfrom: null })),
    );
    expect(await said("build_finished")).toEqual(["2\t4\t5"]);
  });

  it("a restarted build loses the products and metrics of its last run", async () => {
    await db.addBuilds(1);
    const support = (name: string): NixSupport => ({
      failed: false,
      releaseName: "",
      products: [
        {
          type: "file",
          subtype: "",
          storePath: out,
          subPath: name,
          name,
          defaultPath: "",
          isRegular: false,
          sha256: undefined,
          fileSize: undefined,
        },
      ],
      metrics: [{ name, unit: undefined, value: Number.POSITIVE_INFINITY }],
    });
    for (const name of ["first", "second"]) {
      const subject = recorder();
      const attempt = simpleAttempt(1);
      await succeed(subject, attempt, await subject.stepStarted(attempt), [buildId(1)], support(name));
      if (name === "first") {
        await db.sql("update builds set finished = 0, iscachedbuild = 0");
        await db.sql("update projects set name = 'renamed'");
      }
    }
    expect(await db.sql("select productnr, path from buildproducts")).toEqual([
      { productnr: 1, path: `${storeDir}/${out}/second` },
    ]);
    expect(await db.sql("select name, value, project, jobset, job, timestamp from buildmetrics")).toEqual([
      {
        name: "second",
        value: Number.POSITIVE_INFINITY,
        project: "renamed",
        jobset: "j",
        job: "job1",
        timestamp: 1000,
      },
    ]);
    expect(await db.sql("select releasename from builds")).toEqual([{ releasename: null }]);
    expect(await said("build_started")).toEqual(["1", "1"]);
  });

  it("a front-end that cancels a whole evaluation and a failure of the same builds do not stop each other", async () => {
    await db.addBuilds(1, 400);
    const subject = recorder();
    const attempt = simpleAttempt(1);
    const row = await subject.stepStarted(attempt);
    const cancelOneByOne = async (): Promise<void> => {
      for (let id = 400; id > 0; id -= 3) {
        await db.sql(
          "update builds set finished = 1, buildstatus = 4, starttime = 7, stoptime = 7 where id = $1 and finished = 0",
          [id],
        );
      }
    };
    await Promise.all([
      cancelOneByOne(),
      subject.stepFailed({
        attempt,
        row,
        facts: attempt.facts,
        status: 7,
        error: undefined,
        overheadMs: 0,
        accounted: buildId(1),
        builds: Array.from({ length: 400 }, (_, index) => ({ id: buildId(index + 1), own: false })),
      }),
    ]);
    const open = await db.sql("select count(*)::int as open from builds where finished = 0");
    expect(open).toEqual([{ open: 0 }]);
    // Who was cancelled has no row of the failure, everybody else has one.
    const odd = await db.sql(
      "select count(*)::int as odd from builds b where (b.buildstatus = 7) <>" +
        " exists (select 1 from buildsteps s where s.build = b.id and s.status = 7) and b.id <> 1",
    );
    expect(odd).toEqual([{ odd: 0 }]);
  });
});

describe("somebody's lock", () => {
  it("on one build does not hold up the results of others", async () => {
    await db.addBuilds(1, 2);
    const subject = recorder();
    const evaluator = await db.pool.connect();
    try {
      await evaluator.query("begin");
      await evaluator.query("update builds set drvpath = '/nix/store/new.drv' where id = 1");
      const blocked = subject.aborted(buildId(1));
      await until("our transaction to wait", async () => {
        const rows = await db.sql("select 1 from pg_locks where not granted");
        return rows.length > 0;
      });
      await new Promise((resolve) => setTimeout(resolve, 300));
      await subject.aborted(buildId(2));
      expect(await db.sql("select id, finished from builds order by id")).toEqual([
        { id: 1, finished: 0 },
        { id: 2, finished: 1 },
      ]);
      await evaluator.query("commit");
      await blocked;
    } finally {
      evaluator.release();
    }
    expect(await said("build_finished")).toEqual(["2", "1"]);
  });
});

describe("a failure that many builds share", () => {
  it("finishes 5,000 builds, names each once, and keeps every payload short", async () => {
    const ids = await db.addBuilds(1_000_001, 5000);
    const subject = recorder();
    const accounted = ids[2500] as BuildId;
    const attempt = simpleAttempt(accounted);
    const row = await subject.stepStarted(attempt);
    db.loseAnswers = true;
    await subject.stepFailed({
      attempt,
      row,
      facts: attempt.facts,
      status: 1,
      error: "it\0 broke \ud800",
      overheadMs: 3,
      accounted,
      builds: ids.map((id) => ({ id, own: id === accounted })),
    });
    expect(
      await db.sql(
        "select buildstatus, iscachedbuild, count(*)::int as n, count(notificationpendingsince)::int as told" +
          " from builds group by 1, 2 order by 1",
      ),
    ).toEqual([
      { buildstatus: 1, iscachedbuild: 0, n: 1, told: 1 },
      { buildstatus: 2, iscachedbuild: 0, n: 4999, told: 4999 },
    ]);
    expect(
      await db.sql(
        "select propagatedfrom, stepnr, status, errormsg, starttime, count(*)::int as n from buildsteps" +
          " group by 1, 2, 3, 4, 5 order by n",
      ),
    ).toEqual([
      { propagatedfrom: null, stepnr: 1, status: 1, errormsg: "it broke \ufffd", starttime: 1000, n: 1 },
      {
        propagatedfrom: accounted,
        stepnr: 1,
        status: 1,
        errormsg: "it broke \ufffd",
        starttime: null,
        n: 4999,
      },
    ]);
    const payloads = await said("build_finished");
    expect(payloads[0]?.split("\t")[0]).toBe(String(accounted));
    for (const payload of payloads) expect(payload.length).toBeLessThanOrEqual(7000);
    const named = payloads.flatMap((payload) => payload.split("\t").map(Number));
    expect(named).toHaveLength(5000);
    expect(new Set(named)).toEqual(new Set(ids));
    expect(await said("step_finished")).toHaveLength(1);
    expect(ended).toHaveLength(5000);
  });

  it("is remembered in FailedPaths when that is wanted, for failures of the derivation alone", async () => {
    await db.addBuilds(1, 3);
    const subject = recorder({ rememberFailures: () => true });
    for (const [build, status] of [
      [1, 7],
      [2, 1],
      [3, 1],
    ] as const) {
      const attempt = simpleAttempt(build, status === 1 ? "x" : "slow");
      await subject.stepFailed({
        attempt,
        row: await subject.stepStarted(attempt),
        facts: attempt.facts,
        status,
        error: undefined,
        overheadMs: 0,
        accounted: buildId(build),
        builds: [{ id: buildId(build), own: true }],
      });
    }
    expect(await db.sql("select path from failedpaths")).toEqual([{ path: `${storeDir}/${out}` }]);
  });
});

describe("results without a step of their own", () => {
  it("outputs that were found get a row once", async () => {
    await db.addBuilds(1);
    const subject = recorder();
    const facts = simpleAttempt(1).facts;
    const elsewhere = simpleAttempt(1, "nobody").facts;
    for (let round = 0; round < 2; round++) {
      await subject.outputsFound([facts, elsewhere], (drv) => (drv === facts.drv ? buildId(1) : undefined));
    }
    expect(
      await db.sql(
        "select type, status, busy, machine, system, starttime, stoptime, drvpath from buildsteps",
      ),
    ).toEqual([
      {
        type: 1,
        status: 0,
        busy: 0,
        machine: "",
        system: null,
        starttime: 2000,
        stoptime: 2000,
        drvpath: `${storeDir}/${facts.drv}`,
      },
    ]);
    expect(await db.sql("select stepnr, name, path from buildstepoutputs")).toEqual([
      { stepnr: 1, name: "out", path: `${storeDir}/${out}` },
    ]);
    expect(await said("step_finished")).toEqual([]);
  });

  it("a failure from before marks the build as cached and tells where it failed", async () => {
    await db.addBuilds(1, 3);
    const subject = recorder();
    const attempt = simpleAttempt(1);
    await subject.stepFailed({
      attempt,
      row: await subject.stepStarted(attempt),
      facts: attempt.facts,
      status: 1,
      error: "no",
      overheadMs: 0,
      accounted: buildId(1),
      builds: [{ id: buildId(1), own: true }],
    });
    db.loseAnswers = true;
    await subject.failedBefore(buildId(2), attempt.facts, true);
    await subject.failedBefore(buildId(3), attempt.facts, false);
    expect(
      await db.sql("select id, buildstatus, iscachedbuild, starttime from builds where id > 1 order by id"),
    ).toEqual([
      { id: 2, buildstatus: 1, iscachedbuild: 1, starttime: 2000 },
      { id: 3, buildstatus: 2, iscachedbuild: 1, starttime: 2000 },
    ]);
    expect(
      await db.sql(
        "select build, status, machine, starttime, propagatedfrom from buildsteps where build > 1 order by 1",
      ),
    ).toEqual([2, 3].map((build) => ({ build, status: 8, machine: "", starttime: null, propagatedfrom: 1 })));
    expect(await said("build_finished")).toEqual(["1", "2", "3"]);
  });

  it("a build that cannot be read is aborted and said to be finished", async () => {
    await db.addBuilds(1);
    await recorder().aborted(buildId(1));
    expect(
      await db.sql(
        "select finished, buildstatus, iscachedbuild, stoptime, notificationpendingsince from builds",
      ),
    ).toEqual([
      { finished: 1, buildstatus: 3, iscachedbuild: 0, stoptime: 2000, notificationpendingsince: 2000 },
    ]);
    expect(await said("build_finished")).toEqual(["1"]);
  });

  it("orphaned rows are closed in silence, and only once", async () => {
    await db.addBuilds(1);
    const subject = recorder();
    const row = await subject.stepStarted(simpleAttempt(1));
    const kept = await subject.stepStarted(simpleAttempt(1, "kept"));
    await subject.orphanRow(row, 3);
    await subject.orphanRow(row, 0);
    expect(await recorder().clearOrphans([kept])).toBe(0);
    expect(await db.sql("select busy, status, stoptime from buildsteps order by stepnr")).toEqual([
      { busy: 0, status: 3, stoptime: 2000 },
      { busy: 1, status: null, stoptime: null },
    ]);
    expect(await recorder().clearOrphans()).toBe(1);
    expect(await said("step_finished")).toEqual([]);
  });
});

describe("trouble with the database", () => {
  it("that passes is waited out, with the builds on hold", async () => {
    await db.addBuilds(1);
    const subject = recorder();
    const attempt = simpleAttempt(1);
    const row = await subject.stepStarted(attempt);
    db.refused = 3;
    const recording = succeed(subject, attempt, row, [buildId(1)]);
    expect(subject.holds(buildId(1))).toBe(true);
    await recording;
    expect(subject.holds(buildId(1))).toBe(false);
    expect(subject.repetitions).toBe(3);
    expect(await said("build_finished")).toEqual(["1"]);
  });

  it("that is final is not waited for", async () => {
    await db.addBuilds(1);
    let tries = 0;
    const subject = recorder({
      database: {
        transaction: () => {
          tries++;
          return Promise.reject(new DatabaseError("fenced", "another runner owns the database"));
        },
      },
    });
    await expect(subject.aborted(buildId(1))).rejects.toMatchObject({ code: "fenced" });
    expect(tries).toBe(1);
    expect(subject.holds(buildId(1))).toBe(false);
    expect(ended).toEqual([]);
  });

  it("ends with the signal", async () => {
    const stop = new AbortController();
    const subject = recorder({
      signal: stop.signal,
      database: {
        transaction: () => {
          stop.abort(new Error("closing"));
          return Promise.reject(new DatabaseError("unavailable", "away"));
        },
      },
    });
    await expect(subject.aborted(buildId(1))).rejects.toThrow("closing");
  });

  it("one impossible result does not take others with it", async () => {
    await db.addBuilds(1, 2);
    const subject = recorder();
    const impossible = buildId(2 ** 40);
    const results = await Promise.allSettled([
      subject.aborted(buildId(1)),
      subject.aborted(impossible),
      subject.aborted(buildId(2)),
    ]);
    expect(results.map((result) => result.status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
    expect(await db.sql("select buildstatus from builds")).toEqual([{ buildstatus: 3 }, { buildstatus: 3 }]);
  });

  it("200 results at the same time need few transactions", async () => {
    const ids = await db.addBuilds(1, 200);
    const subject = recorder();
    const attempts = ids.map((id) => simpleAttempt(id, `n${id}`, [id]));
    const rows = await Promise.all(attempts.map((attempt) => subject.stepStarted(attempt)));
    const before = db.committed;
    await Promise.all(
      attempts.map((attempt, index) =>
        succeed(subject, attempt, rows[index] as StepRow, [attempt.assignment.build]),
      ),
    );
    expect(db.committed - before).toBeLessThanOrEqual(8);
    expect(
      await db.sql("select distinct finished, buildstatus, iscachedbuild, size::int from builds"),
    ).toEqual([{ finished: 1, buildstatus: 0, iscachedbuild: 0, size: 120 }]);
    expect(await said("build_finished")).toHaveLength(200);
  });
});
