// What the recorder writes, against a real PostgreSQL and the recorded rows and notifications of Hydra's own runner.
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { parseStorePath, type StorePath } from "../../lib/nix/path/store-path.js";
import type { NixSupport } from "../../lib/rpc/types.js";
import { Recorder } from "../../lib/runner/recording/recorder.js";
import type { Attempt, StepRow } from "../../lib/runner/state/attempts.js";
import type { EndedBuild } from "../../lib/runner/state/build-registry.js";
import { summarise } from "../../lib/runner/state/build-report.js";
import { type BuildId, buildId } from "../../lib/scheduler/ids.js";
import observed from "../fixtures/observed/cases.json" with { type: "json" };
import { NotificationRecorder } from "../support/notifications.js";
import {
  attemptFor,
  basePath,
  built,
  type Row,
  simpleAttempt,
  storeDir,
  TestTransactions,
} from "../support/recording.js";
import { testDatabase } from "../support/test-database.js";

type Tables = Record<string, Row[]>;
interface ObservedCase {
  readonly case: string;
  readonly builds: readonly number[];
  readonly rows: Tables;
  readonly rows_after_start?: Tables;
  readonly notifications: readonly (readonly [number, string, string])[];
}
const cases = new Map((observed as unknown as ObservedCase[]).map((entry) => [entry.case, entry]));

function theCase(name: string): ObservedCase {
  const found = cases.get(name);
  if (found === undefined) throw new Error(`no recording of ${name}`);
  return found;
}

let url: string;
let transactions: TestTransactions;
let heard: NotificationRecorder;
let clockMs = 1_795_486_100_000;
let ended: [BuildId, Omit<EndedBuild, "build">][] = [];

beforeAll(async () => {
  url = await testDatabase();
  transactions = new TestTransactions(url);
});

afterAll(() => transactions.pool.end());

beforeEach(async () => {
  await transactions.reset();
  transactions.loseAnswers = false;
  transactions.refused = 0;
  ended = [];
  heard = await NotificationRecorder.connect(url);
});

afterEach(() => heard.close());

function recorder(): Recorder {
  return new Recorder({
    database: transactions,
    storeDir,
    logPath: (drv) => `/rig/data/build-logs/${drv.slice(0, 2)}/${drv.slice(2)}`,
    onEnded: (build, result) => ended.push([build, result]),
    now: () => clockMs,
  });
}

/** The builds of a recording as the evaluator leaves them; output paths of those that succeed are yet to be told. */
async function queue(entry: ObservedCase): Promise<void> {
  const succeeds = new Set<unknown>();
  for (const build of entry.rows.Builds ?? []) {
    if (build.buildstatus === 0 || build.buildstatus === 6) succeeds.add(build.id);
    await transactions.sql(
      "insert into builds (id, finished, timestamp, jobset_id, job, nixname, drvpath, system, maxsilent, timeout, iscurrent, priority)" +
        " values ($1, 0, $2, (select id from jobsets), $3, $3, $4, $5, $6, $7, 1, 100)",
      ["id", "timestamp", "job", "drvpath", "system", "maxsilent", "timeout"].map((column) => build[column]),
    );
  }
  for (const output of entry.rows.BuildOutputs ?? []) {
    await transactions.sql("insert into buildoutputs (build, name, path) values ($1, $2, $3)", [
      output.build,
      output.name,
      succeeds.has(output.build) ? null : output.path,
    ]);
  }
}

/** Replays the step rows of a recording through the recorder, in order of their numbers. */
async function replay(
  entry: ObservedCase,
  subject: Recorder,
  support: Map<string, NixSupport> = new Map(),
): Promise<void> {
  const builds = entry.rows.Builds ?? [];
  const propagated = (entry.rows.BuildSteps ?? []).filter((row) => row.propagatedfrom !== null);
  for (const step of entry.rows.BuildSteps ?? []) {
    if (propagated.includes(step)) continue;
    const outputs = (entry.rows.BuildStepOutputs ?? []).filter(
      (row) => row.build === step.build && row.stepnr === step.stepnr,
    );
    const own = builds.filter(
      (build) =>
        build.drvpath === step.drvpath ||
        (build.drvpath !== step.drvpath && step === entry.rows.BuildSteps?.at(-1) && step.status === 0),
    );
    const attempt = attemptFor(
      Number(step.build),
      String(step.drvpath),
      String(step.system),
      outputs.map((row) => [String(row.name), row.path === null ? undefined : basePath(row.path)]),
      { ownBuilds: own.map((build) => Number(build.id)), startedAt: Number(step.starttime) * 1000 },
    );
    const status = Number(step.status);
    if (status === 13) {
      await subject.resolved(attempt, parseStorePath(String(step.resolveddrvpath)));
      continue;
    }
    const row = await subject.stepStarted(attempt);
    clockMs = Number(step.stoptime) * 1000;
    const overheadMs = Number(step.overhead ?? 0);
    if (status === 0) {
      const first = own[0];
      const reported = new Map(
        outputs.map((output, index) => {
          const path = basePath(output.path);
          // Only the sums are on record.
          const size = index === 0 ? Number(first?.size ?? 120) : 0;
          const closure = index === 0 ? Number(first?.closuresize ?? 120) : 0;
          return [String(output.name), built(path, size, closure, support.get(path))];
        }),
      );
      await subject.stepSucceeded(attempt, row, {
        overheadMs,
        outputs: reported,
        summary: summarise(reported),
        builds: own.map((build) => buildId(Number(build.id))),
        accounted: row.build,
      });
    } else if (status === 3 || status === 4) {
      await subject.stepEnded(attempt, row, { status, error: undefined, overheadMs });
    } else {
      await subject.stepFailed({
        attempt,
        row,
        facts: attempt.facts,
        status: status as 1,
        error: String(step.errormsg),
        overheadMs,
        accounted: row.build,
        builds: builds.map((build) => ({
          id: buildId(Number(build.id)),
          own: build.drvpath === step.drvpath,
        })),
      });
    }
  }
}

async function tables(ids: readonly number[]): Promise<Tables> {
  const read = (table: string, column: string, order: string): Promise<Row[]> =>
    transactions.sql(`select * from ${table} where ${column} = any($1) order by ${order}`, [ids]);
  const rows = {
    Builds: await read("builds", "id", "id"),
    BuildSteps: await read("buildsteps", "build", "build, stepnr"),
    BuildStepOutputs: await read("buildstepoutputs", "build", "build, stepnr, name"),
    BuildOutputs: await read("buildoutputs", "build", "build, name"),
    BuildProducts: await read("buildproducts", "build", "build, productnr"),
    BuildMetrics: await read("buildmetrics", "build", "build, name"),
    FailedPaths: await transactions.sql("select path from failedpaths order by path"),
  };
  // 64-bit columns come as text; the jobset has another id here.
  const jobset = Number((await transactions.sql("select id from jobsets"))[0]?.id);
  return JSON.parse(JSON.stringify(rows), (key, value: unknown) => {
    if ((key === "size" || key === "closuresize" || key === "filesize") && typeof value === "string")
      return Number(value);
    if (key === "jobset_id" && value === jobset) return 1;
    return value;
  }) as Tables;
}

/**
 * What was heard, as in the recordings but for two things done on purpose: a build is announced as started once and
 * not for each of its steps, and no id is named twice in one `build_finished`.
 */
function expectedNotifications(entry: ObservedCase): string[] {
  const started = new Set<string>();
  return entry.notifications
    .filter(([, channel]) => /^(build|step)_(started|finished)$/.test(channel))
    .filter(([, channel, payload]) => {
      if (channel !== "build_started") return true;
      const first = !started.has(payload);
      started.add(payload);
      return first;
    })
    .map(([, channel, payload]) =>
      channel === "build_finished"
        ? `${channel} ${[...new Set(payload.split("\t"))].join("\t")}`
        : `${channel} ${payload}`,
    );
}

async function heardOnes(): Promise<string[]> {
  await heard.settle();
  return heard.all
    .filter(({ channel }) => /^(build|step)_(started|finished)$/.test(channel))
    .map(({ channel, payload }) => `${channel} ${payload}`);
}

/** The recordings with an account of what the builder found in the outputs. */
function supportOf(entry: ObservedCase): Map<string, NixSupport> {
  const support = new Map<string, NixSupport>();
  const [build] = entry.rows.Builds ?? [];
  for (const output of entry.rows.BuildOutputs ?? []) {
    if (output.path === null) continue;
    const path = basePath(output.path);
    const products = (entry.rows.BuildProducts ?? []).map((row) => ({
      type: String(row.type),
      subtype: String(row.subtype),
      storePath: path,
      subPath: String(row.path).slice(storeDir.length + path.length + 2),
      name: String(row.name),
      defaultPath: String(row.defaultpath),
      isRegular: row.sha256hash !== null,
      sha256: row.sha256hash === null ? undefined : String(row.sha256hash),
      fileSize: row.filesize === null ? undefined : Number(row.filesize),
    }));
    const metrics = (entry.rows.BuildMetrics ?? []).map((row) => ({
      name: String(row.name),
      unit: row.unit === null ? undefined : String(row.unit),
      value: Number(row.value),
    }));
    const name = build?.releasename;
    support.set(path, {
      failed: build?.buildstatus === 6,
      releaseName: typeof name === "string" ? name : undefined,
      products,
      metrics,
    });
  }
  return support;
}

async function replayed(name: string, options: { readonly loseAnswers: boolean }): Promise<void> {
  const entry = theCase(name);
  await queue(entry);
  transactions.loseAnswers = options.loseAnswers;
  const subject = recorder();
  await replay(entry, subject, supportOf(entry));
  expect(subject.repetitions > 0).toBe(options.loseAnswers);
  expect(await tables(entry.builds)).toEqual(entry.rows);
  expect(await heardOnes()).toEqual(expectedNotifications(entry));
  const finished = (entry.rows.Builds ?? []).filter(
    (build) => build.finished === 1 && build.buildstatus !== 4,
  );
  expect(ended.map(([build, result]) => [build, result.status])).toEqual(
    finished.map((build) => [build.id, build.buildstatus]),
  );
}

describe("recorded scenarios", () => {
  const names = [
    "success",
    "outputs",
    "fixed-output",
    "fixed-output-mismatch",
    "products",
    "failure",
    "failure-with-output",
    "dependency-failure",
    "cached-failure",
    "timeout",
    "silent",
    "content-addressed",
    "content-addressed-cutoff",
    "deferred",
    "log-large",
    "builder-lost",
  ];

  it.each(names)("%s", (name) => replayed(name, { loseAnswers: false }));

  it.each(names)("%s, each transaction done twice", (name) => replayed(name, { loseAnswers: true }));

  it("diamond: two steps of one build at the same time", async () => {
    const entry = theCase("diamond");
    await queue(entry);
    const subject = recorder();
    const steps = entry.rows.BuildSteps ?? [];
    const attempt = steps.map((step, index) =>
      attemptFor(
        2,
        String(step.drvpath),
        String(step.system),
        [["out", basePath(entry.rows.BuildStepOutputs?.[index]?.path)]],
        { startedAt: Number(step.starttime) * 1000, ownBuilds: index === 3 ? [2] : [] },
      ),
    );
    const succeed = async (index: number, row: StepRow): Promise<void> => {
      const step = steps[index];
      const job = attempt[index];
      if (step === undefined || job === undefined) return;
      clockMs = Number(step.stoptime) * 1000;
      const outputs = new Map(
        [...job.facts.outputs].map(([name, path]) => [name, built(path as StorePath, 120)]),
      );
      await subject.stepSucceeded(job, row, {
        overheadMs: Number(step.overhead),
        outputs,
        summary: summarise(outputs),
        builds: index === 3 ? [buildId(2)] : [],
        accounted: buildId(2),
      });
    };
    const [a, c, b, d] = attempt as [Attempt, Attempt, Attempt, Attempt];
    await succeed(0, await subject.stepStarted(a));
    const [rowC, rowB] = await Promise.all([subject.stepStarted(c), subject.stepStarted(b)]);
    await Promise.all([succeed(1, rowC), succeed(2, rowB)]);
    await succeed(3, await subject.stepStarted(d));
    expect(await tables(entry.builds)).toEqual(entry.rows);
    expect(await heardOnes()).toEqual(expectedNotifications(entry));
  });

  it("same-derivation-twice: one step ends both builds, the other one counts as cached", async () => {
    const entry = theCase("same-derivation-twice");
    await queue(entry);
    await replay(entry, recorder(), supportOf(entry));
    expect(await tables(entry.builds)).toEqual(entry.rows);
    const expected = expectedNotifications(entry);
    // Both builds are on their way, and both say so.
    expected.splice(2, 0, "build_started 11");
    expect(await heardOnes()).toEqual(expected);
  });

  it.each([false, true])("cached (done twice: %s)", async (loseAnswers) => {
    const entry = theCase("cached");
    await queue(entry);
    clockMs = Number(entry.rows.Builds?.[0]?.stoptime) * 1000;
    transactions.loseAnswers = loseAnswers;
    const path = basePath(entry.rows.BuildOutputs?.[0]?.path);
    const outputs = new Map([["out", path]]);
    await recorder().buildCached(buildId(13), outputs, summarise(new Map([["out", built(path, 120)]])));
    expect(await tables(entry.builds)).toEqual(entry.rows);
    expect(await heardOnes()).toEqual(expectedNotifications(entry));
  });

  it("a build that is decided while the end of its step is under way is recorded after that", async () => {
    const [build = buildId(0)] = await transactions.addBuilds(40);
    const subject = recorder();
    const attempt = simpleAttempt(40);
    const row = await subject.stepStarted(attempt);
    const recorded = subject.expectEnd(attempt);
    const cached = subject.buildCached(build, new Map(), summarise(new Map()));
    // Far longer than its transaction takes.
    await sleep(300);
    expect(ended).toEqual([]);
    const outputs = new Map([["out", built(basePath("/nix/store/00000000000000000000000000000002-x"), 120)]]);
    const success = { overheadMs: 0, outputs, summary: summarise(outputs), builds: [], accounted: build };
    await subject.stepSucceeded(attempt, row, success);
    recorded();
    await cached;
    await heard.settle();
    expect(heard.of([40]).map(({ channel }) => channel)).toEqual([
      "step_started",
      "build_started",
      "step_finished",
      "build_finished",
    ]);
  });

  it("a resolved step that is built already gets one row in the build, however often that is found", async () => {
    await transactions.addBuilds(40);
    const subject = recorder();
    const { facts } = simpleAttempt(40);
    const outputs = new Map([["out", basePath("/nix/store/00000000000000000000000000000002-x")]]);
    transactions.loseAnswers = true;
    await subject.foundResolved(buildId(40), facts, outputs);
    await subject.outputsFound([facts], () => buildId(40));
    await subject.foundResolved(buildId(40), facts, outputs);
    const rows = (await tables([40])).BuildSteps ?? [];
    expect(rows.map(({ status, type, drvpath }) => [status, type, drvpath])).toEqual([
      [0, 1, `/nix/store/${facts.drv}`],
    ]);
  });

  it.each(["unsupported-system", "unsupported-feature"])("%s: a failure without an attempt", async (name) => {
    const entry = theCase(name);
    await queue(entry);
    const [step] = entry.rows.BuildSteps ?? [];
    const [id = 0] = entry.builds;
    clockMs = Number(entry.rows.Builds?.[0]?.stoptime) * 1000;
    transactions.loseAnswers = true;
    const { facts } = attemptFor(id, String(step?.drvpath), String(step?.system), [
      ["out", basePath(entry.rows.BuildStepOutputs?.[0]?.path)],
    ]);
    await recorder().stepFailed({
      attempt: undefined,
      row: undefined,
      facts,
      status: 9,
      error: String(step?.errormsg),
      overheadMs: 0,
      accounted: buildId(id),
      builds: [{ id: buildId(id), own: true }],
    });
    expect(await tables(entry.builds)).toEqual(entry.rows);
    expect(await heardOnes()).toEqual(expectedNotifications(entry));
  });

  it("cancel: the front-end finished the build, the step ends as cancelled", async () => {
    const entry = theCase("cancel");
    await queue(entry);
    const [build] = entry.rows.Builds ?? [];
    const [step] = entry.rows.BuildSteps ?? [];
    const subject = recorder();
    const attempt = attemptFor(
      23,
      String(step?.drvpath),
      String(step?.system),
      [["out", basePath(entry.rows.BuildStepOutputs?.[0]?.path)]],
      { startedAt: Number(step?.starttime) * 1000, ownBuilds: [23] },
    );
    const row = await subject.stepStarted(attempt);
    await transactions.sql(
      "update builds set finished = 1, buildstatus = 4, iscachedbuild = 0, starttime = $1, stoptime = $1 where id = 23",
      [build?.stoptime],
    );
    clockMs = Number(step?.stoptime) * 1000;
    await subject.stepEnded(attempt, row, { status: 4, error: undefined, overheadMs: 0 });
    expect(await tables(entry.builds)).toEqual(entry.rows);
    expect(await heardOnes()).toEqual(expectedNotifications(entry));
  });

  it("runner-killed: the successor closes the row with the mark of a crash and goes on with the next number", async () => {
    const entry = theCase("runner-killed");
    await queue(entry);
    const killed = entry.rows.BuildSteps?.[0];
    const outputs = [["out", basePath(entry.rows.BuildStepOutputs?.[0]?.path)]] as const;
    const attempt = attemptFor(25, String(killed?.drvpath), String(killed?.system), outputs, {
      startedAt: Number(killed?.starttime) * 1000,
    });
    await recorder().stepStarted(attempt);
    expect(await recorder().clearOrphans()).toBe(1);
    expect((await tables(entry.builds)).BuildSteps).toEqual(entry.rows_after_start?.BuildSteps);
    const rest = { ...entry, rows: { ...entry.rows, BuildSteps: entry.rows.BuildSteps?.slice(1) ?? [] } };
    await replay(rest, recorder(), supportOf(entry));
    expect(await tables(entry.builds)).toEqual(entry.rows);
  });
});
