// Each question the runner asks, on rows as Hydra's programs write them.
import type pg from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { connectionSettings, HydraDatabase } from "../../lib/database/index.js";
import { startPostgres, type TestPostgres } from "../support/postgres.js";

const storeDir = "/nix/store";
const hash = (letter: string): string => letter.repeat(32);
const path = (letter: string, name: string): string => `${storeDir}/${hash(letter)}-${name}`;
const drv = (letter: string, name = "hello"): string => path(letter, `${name}.drv`);

let postgres: TestPostgres;
let database: HydraDatabase;
let admin: pg.Client;
beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(() => postgres.close());
beforeEach(async () => {
  const url = await postgres.database();
  database = new HydraDatabase({ settings: connectionSettings(url), maxConnections: 4 });
  admin = await postgres.client(url);
});
afterEach(() => database.close());

async function addBuild(
  id: number,
  options: {
    readonly drv?: string;
    readonly finished?: number;
    readonly status?: number;
    readonly jobset?: number;
    readonly outputs?: Readonly<Record<string, string>>;
  } = {},
): Promise<void> {
  await admin.query(
    `insert into builds (id, finished, timestamp, jobset_id, job, drvpath, system, buildstatus, starttime, stoptime,
                         size, closuresize, releasename, priority, maxsilent, timeout)
       values ($1, $2, 1000, $3, 'job', $4, 'x86_64-linux', $5, 10, 20, 5000000000, 6000000000, 'rel', 100, null, 60)`,
    [id, options.finished ?? 0, options.jobset ?? 1, options.drv ?? drv("a"), options.status ?? null],
  );
  for (const [name, output] of Object.entries(options.outputs ?? {})) {
    await admin.query("insert into buildoutputs values ($1, $2, $3)", [id, name, output]);
  }
}

async function addStep(
  build: number,
  nr: number,
  options: {
    readonly drv?: string;
    readonly status?: number | null;
    readonly busy?: number;
    readonly type?: number;
    readonly start?: number | null;
    readonly stop?: number | null;
    readonly system?: string;
    readonly resolved?: string;
    readonly outputs?: Readonly<Record<string, string | null>>;
  } = {},
): Promise<void> {
  await admin.query(
    `insert into buildsteps (build, stepnr, type, drvpath, busy, status, starttime, stoptime, system, resolveddrvpath)
       values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
    [
      build,
      nr,
      options.type ?? 0,
      options.drv ?? drv("a"),
      options.busy ?? 0,
      options.status === undefined ? 0 : options.status,
      options.start === undefined ? 100 : options.start,
      options.stop === undefined ? 110 : options.stop,
      options.system ?? "x86_64-linux",
      options.resolved ?? null,
    ],
  );
  for (const [name, output] of Object.entries(options.outputs ?? {})) {
    await admin.query("insert into buildstepoutputs values ($1, $2, $3, $4)", [build, nr, name, output]);
  }
}

describe("unfinished builds", () => {
  it("are listed with their jobset, whole or by id, finished ones never", async () => {
    await addBuild(1);
    await addBuild(2, { finished: 1, status: 0 });
    await addBuild(3);
    const { builds, bad } = await database.unfinishedBuilds();
    expect(bad).toEqual([]);
    expect(builds.map((build) => build.id)).toEqual([1, 3]);
    expect(builds[0]).toEqual({
      id: 1,
      jobsetId: 1,
      project: "default",
      jobset: "default",
      shares: 100,
      job: "job",
      drvPath: drv("a"),
      timestamp: 1000,
      maxSilent: null,
      timeout: 60,
      priority: 100,
      globalPriority: 0,
    });
    expect((await database.unfinishedBuilds({ ids: [2, 3, 4] })).builds.map((build) => build.id)).toEqual([
      3,
    ]);
    expect(await database.unfinishedBuilds({ ids: [] })).toEqual({ builds: [], bad: [] });
  });

  it("with a useless derivation are reported apart and do not hide the others", async () => {
    await addBuild(1, { drv: "" });
    await addBuild(2);
    const { builds, bad } = await database.unfinishedBuilds();
    expect(builds.map((build) => build.id)).toEqual([2]);
    expect(bad).toEqual([{ id: 1, reason: expect.stringContaining("no derivation") as string }]);
  });

  it("are summed up in a digest", async () => {
    await addBuild(7);
    await admin.query("update builds set globalpriority = 1234 where id = 7");
    expect(await database.unfinishedBuildDigest()).toEqual([
      { id: 7, globalPriority: 1234, priority: 100, drvPath: drv("a") },
    ]);
  });

  it("are active, others are not", async () => {
    await addBuild(1);
    await addBuild(2, { finished: 1, status: 0 });
    expect(await Promise.all([1, 2, 3].map((id) => database.isBuildActive(id)))).toEqual([
      true,
      false,
      false,
    ]);
    expect(await Promise.all([1, 2, 3].map((id) => database.buildExists(id)))).toEqual([true, true, false]);
  });
});

it("jobsets come with their shares, and with what they used since a moment", async () => {
  await admin.query(
    `insert into jobsets (project, name, nixexprinput, nixexprpath, emailoverride, schedulingshares)
       values ('default', 'other', 'i', 'p', '', 7)`,
  );
  expect(await database.jobsets()).toEqual(
    expect.arrayContaining([{ id: 2, project: "default", name: "other", shares: 7 }]),
  );
  await addBuild(1);
  await addBuild(2, { jobset: 2 });
  await addStep(1, 1, { start: 100, stop: 110 });
  await addStep(1, 2, { start: 200, stop: 250, status: 1 });
  await addStep(1, 3, { start: 300, stop: null, status: null, busy: 1 });
  await addStep(2, 1, { start: 90, stop: 290 });
  await addStep(1, 4, { start: null, stop: null, status: 8 });
  expect(await database.jobsetUsage([1, 2], 200)).toEqual(
    new Map([
      [1, [{ startTime: 200, stopTime: 250 }]],
      [2, [{ startTime: 90, stopTime: 290 }]],
    ]),
  );
  expect(await database.jobsetUsage([], 0)).toEqual(new Map());
});

it("failed paths are those asked for", async () => {
  await admin.query("insert into failedpaths values ($1), ($2)", [path("a", "x"), path("b", "y")]);
  expect(await database.failedPaths([path("b", "y"), path("c", "z")])).toEqual(new Set([path("b", "y")]));
  expect(await database.failedPaths([])).toEqual(new Set());
});

it("durations are medians of successes of the same name and system", async () => {
  await addBuild(1);
  for (const [nr, seconds] of [10, 20, 90].entries()) {
    await addStep(1, nr + 1, { drv: drv("abc"[nr]!, "gcc-13.2"), start: 1000, stop: 1000 + seconds });
  }
  await addStep(1, 10, { drv: drv("a", "gcc-13.2"), start: 1000, stop: 9000, status: 1 });
  await addStep(1, 11, { drv: drv("a", "gcc-13.2"), start: 1000, stop: 9000, type: 1 });
  await addStep(1, 12, { drv: drv("a", "gcc-13.2"), start: 1000, stop: 1007, system: "aarch64-linux" });
  await addStep(1, 13, { drv: drv("a", "gcc"), start: 1000, stop: 1001 });
  const kinds = [
    { name: "gcc-13.2", system: "x86_64-linux" },
    { name: "gcc-13.2", system: "x86_64-linux" },
    { name: "gcc-13.2", system: "aarch64-linux" },
    { name: "never", system: "x86_64-linux" },
  ];
  expect(await database.stepDurations(kinds)).toEqual(
    new Map([
      ["x86_64-linux/gcc-13.2", 20],
      ["aarch64-linux/gcc-13.2", 7],
    ]),
  );
  expect(await database.stepDurations([])).toEqual(new Map());
  await addStep(1, 14, { drv: "/nix/store/nameless", start: 1000, stop: 1001 });
  expect(await database.stepDurations()).toEqual(
    new Map([
      ["x86_64-linux/gcc-13.2", 20],
      ["aarch64-linux/gcc-13.2", 7],
      ["x86_64-linux/gcc", 1],
    ]),
  );
});

describe("output chains", () => {
  const chain = (root: string, ...outputs: string[]) => ({ drvPath: root, outputs });

  it("follow outputs that are derivations, all chains side by side", async () => {
    await addBuild(1);
    await addStep(1, 1, { drv: drv("a"), outputs: { out: drv("b", "inner"), doc: path("d", "doc") } });
    await addStep(1, 2, { drv: drv("b", "inner"), outputs: { out: path("c", "final") } });
    expect(
      await database.resolveOutputChains(
        [
          chain(drv("a"), "out", "out"),
          chain(drv("x"), "out"),
          chain(drv("a"), "doc"),
          chain(drv("a"), "doc", "out"),
          chain(drv("a"), "out"),
        ],
        storeDir,
      ),
    ).toEqual([path("c", "final"), undefined, path("d", "doc"), undefined, drv("b", "inner")]);
  });

  it("go from a resolved derivation to what it became, in whatever build that was built", async () => {
    await addBuild(1);
    await addBuild(2);
    await addStep(1, 1, {
      drv: drv("a"),
      status: 13,
      resolved: `${hash("r")}-hello.drv`,
      outputs: { out: null },
    });
    await addStep(2, 1, { drv: drv("r"), outputs: { out: path("o", "hello") } });
    expect(await database.resolveOutputChains([chain(drv("a"), "out")], storeDir)).toEqual([
      path("o", "hello"),
    ]);
  });

  it("take the newest build, never a failure, and nothing from another store folder", async () => {
    await addBuild(1);
    await addBuild(2);
    await addBuild(3);
    await addStep(1, 1, { outputs: { out: path("1", "x") } });
    await addStep(2, 1, { outputs: { out: path("2", "x") } });
    await addStep(3, 1, { status: 1, outputs: { out: path("3", "x") } });
    expect(await database.resolveOutputChains([chain(drv("a"), "out")], storeDir)).toEqual([path("2", "x")]);
    expect(await database.resolveOutputChains([chain(drv("a"), "out")], "/other")).toEqual([undefined]);
    expect(await database.resolveOutputChains([], storeDir)).toEqual([]);
  });
});

describe("an earlier build of outputs", () => {
  it("is the newest success, with its products and metrics", async () => {
    const out = path("0", "hello");
    await addBuild(1, { finished: 1, status: 0, outputs: { out } });
    await addBuild(2, { finished: 1, status: 6, outputs: { out } });
    await addBuild(3, { finished: 1, status: 1, outputs: { out } });
    await addBuild(4, { outputs: { out } });
    await admin.query(
      `insert into buildproducts (build, productnr, type, subtype, filesize, sha256hash, path, name, defaultpath) values
         (2, 2, 'doc', 'manual', null, null, $2, 'doc', 'index.html'),
         (2, 1, 'file', 'iso', 12345678901, $3, $1, 'a.iso', ''),
         (2, 3, 'file', 'odd', 1, 'short', $4, 'root', null),
         (2, 4, 'file', 'bad', 1, null, null, 'gone', ''),
         (2, 5, 'file', 'bad', 1, null, '/elsewhere/x', 'away', '')`,
      [`${out}/sub/a.iso`, `${out}/share/doc`, "ab".repeat(32), out],
    );
    await admin.query(
      `insert into buildmetrics (build, name, unit, value, project, jobset, job, timestamp) values
         (2, 'size', 'MiB', 1.5, 'default', 'default', 'job', 1), (2, 'count', null, 7, 'default', 'default', 'job', 1)`,
    );
    expect(await database.earlierBuildOfOutputs([path("9", "none"), out], storeDir)).toEqual({
      id: 2,
      status: 6,
      size: 5_000_000_000,
      closureSize: 6_000_000_000,
      releaseName: "rel",
      products: [
        {
          type: "file",
          subtype: "iso",
          storePath: `${hash("0")}-hello`,
          subPath: "sub/a.iso",
          name: "a.iso",
          defaultPath: "",
          isRegular: true,
          sha256: "ab".repeat(32),
          fileSize: 12_345_678_901,
        },
        {
          type: "doc",
          subtype: "manual",
          storePath: `${hash("0")}-hello`,
          subPath: "share/doc",
          name: "doc",
          defaultPath: "index.html",
          isRegular: false,
          sha256: undefined,
          fileSize: undefined,
        },
        {
          type: "file",
          subtype: "odd",
          storePath: `${hash("0")}-hello`,
          subPath: "",
          name: "root",
          defaultPath: "",
          isRegular: true,
          sha256: undefined,
          fileSize: 1,
        },
      ],
      metrics: [
        { name: "count", unit: undefined, value: 7 },
        { name: "size", unit: "MiB", value: 1.5 },
      ],
    });
  });

  it("is the one with most of the outputs, or none", async () => {
    const [a, b] = [path("1", "a"), path("2", "b")];
    await addBuild(1, { finished: 1, status: 0, outputs: { out: a, dev: b } });
    await addBuild(2, { finished: 1, status: 0, outputs: { out: a } });
    expect((await database.earlierBuildOfOutputs([a, b], storeDir))?.id).toBe(1);
    expect((await database.earlierBuildOfOutputs([a], storeDir))?.id).toBe(2);
    expect(await database.earlierBuildOfOutputs([path("3", "c")], storeDir)).toBeUndefined();
    expect(await database.earlierBuildOfOutputs([], storeDir)).toBeUndefined();
  });
});

it("the state of a step is its newest attempt that ended", async () => {
  await addBuild(1);
  await addBuild(2);
  await addStep(1, 1, { status: 1, stop: 110 });
  await addStep(1, 2, { status: 0, stop: 210 });
  await addStep(2, 1, { status: null, busy: 30, stop: null });
  expect(await database.stepState(drv("a"))).toEqual({ status: 0, at: 210 });
  await addStep(2, 2, { status: 3, stop: 0 });
  expect(await database.stepState(drv("a"))).toEqual({ status: 3, at: undefined });
  expect(await database.stepState(drv("b"))).toBeUndefined();
});

describe("a submitted build", () => {
  it("has the row that Hydra's own runner writes, and is announced", async () => {
    const heard: string[] = [];
    admin.on("notification", ({ channel, payload }) => heard.push(`${channel} ${payload}`));
    await admin.query("listen builds_added");
    const id = await database.submitBuild({ jobsetId: 1, drvPath: drv("a"), system: "x86_64-linux" });
    const { rows } = await admin.query<Record<string, unknown>>("select * from builds where id = $1", [id]);
    const { timestamp, ...row } = rows[0]!;
    expect(Math.abs(Number(timestamp) - Date.now() / 1000)).toBeLessThan(60);
    expect(row).toMatchObject({
      finished: 0,
      jobset_id: 1,
      job: "debug",
      nixname: "debug",
      drvpath: drv("a"),
      system: "x86_64-linux",
      maxsilent: 7200,
      timeout: 36_000,
      ischannel: 0,
      iscurrent: 0,
      priority: 100,
      globalpriority: 0,
      keep: 0,
      buildstatus: null,
    });
    expect(heard).toEqual(["builds_added ?"]);
  });

  it("needs a jobset", async () => {
    expect(await database.submitBuild({ jobsetId: 99, drvPath: drv("a"), system: "x" })).toBeUndefined();
    expect(await database.unfinishedBuildDigest()).toEqual([]);
  });
});
