// Why a step does not run: every reason as the status API tells it. And machines that are drained and resumed.
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { afterAll, expect, test } from "vitest";
import { shellDerivation } from "../../support/nix.js";
import { usePair } from "../../support/pair.js";
import { type S3Server, startS3Server } from "../../support/s3-server/index.js";
import { testDatabase } from "../../support/test-database.js";
import { until } from "../../support/until.js";
import { shapes } from "./shapes.js";

const run = promisify(execFile);
let folder = "";
let s3: S3Server | undefined;

/** A builder for steps that ask for a feature of the same name, and for no others. */
const special = (name: string, settings = {}) => ({
  name,
  systemFeatures: [name],
  settings: { mandatoryFeatures: [name], ...settings },
});

const pair = usePair(async () => {
  folder = await mkdtemp(join(tmpdir(), "hydra-why-"));
  s3 = await startS3Server({ buckets: ["cache"] });
  const key = join(folder, "key");
  await run("nix-store", ["--generate-binary-cache-key", "why-1", key, `${key}.pub`]);
  const where = new URLSearchParams({ endpoint: s3.url, scheme: "http", region: "eu-west-1" });
  return {
    databaseUrl: await testDatabase(),
    builders: [
      { name: "plain", settings: { maxJobs: 1 } },
      special("diskless", { storeAvailThreshold: 100 }),
      special("broken", { maxJobs: 1 }),
      special("two-slots", { maxJobs: 2 }),
    ],
    runner: {
      remoteStoreAddr: [`s3://cache?${where.toString()}&secret-key=${key}`],
      retryInterval: 600,
      drainTimeoutInS: 20,
    },
    runnerEnv: {
      AWS_ACCESS_KEY_ID: s3.keys.accessKeyId,
      AWS_SECRET_ACCESS_KEY: s3.keys.secretAccessKey,
    },
  };
});

afterAll(async () => {
  await s3?.close();
  await rm(folder, { recursive: true, force: true });
});

const quick = (name: string, attributes = ""): string => shellDerivation(name, "echo > $out", attributes);
const endless = (name: string, attributes = ""): string =>
  shellDerivation(name, "/bin/busybox sleep 100; echo > $out", attributes);
const feature = (name: string): string => `requiredSystemFeatures = [ "${name}" ];`;
const time = expect.stringMatching(/^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/);

async function why(drv: string): Promise<Record<string, unknown>> {
  const response = await fetch(`${pair().statusUrl}/status/steps/${basename(drv)}/why`);
  return { http: response.status, ...((await response.json()) as object) };
}

interface Queued {
  readonly id: number;
  readonly drv: string;
}

async function queue(...expressions: readonly string[]): Promise<Queued[]> {
  const drvs = await pair().instantiate(...expressions);
  const ids = await pair().tables.addBuilds(drvs.map((drv) => ({ drv, jobsetId: pair().jobsetId })));
  const queued = ids.map((id, index) => ({ id, drv: drvs[index] ?? "" }));
  for (const { drv } of queued) await until(`${drv} to be known`, async () => (await why(drv)).http === 200);
  return queued;
}

async function cancel(builds: readonly Queued[]): Promise<void> {
  await pair().tables.cancel(builds.map(({ id }) => id));
  await until("the steps to be forgotten", async () => (await pair().get("/status/steps")).stepCount === 0);
}

async function post(path: string): Promise<{ readonly status: number; readonly answer: unknown }> {
  const response = await fetch(`${pair().statusUrl}${path}`, { method: "POST" });
  return { status: response.status, answer: await response.json() };
}

async function machine(name: string): Promise<Record<string, unknown>> {
  const { machines } = await pair().get("/status/machines");
  return (machines as Record<string, Record<string, unknown>>)[name] ?? {};
}

test("finished, unknown, and what is no derivation", async () => {
  const [build] = await queue(quick("over"));
  await pair().tables.waitFinished([build?.id ?? 0]);
  const [row] = (await pair().tables.rows([build?.id ?? 0])).BuildSteps;
  expect(await why(build?.drv ?? "")).toEqual({
    http: 200,
    drvPath: basename(build?.drv ?? ""),
    code: "finished",
    status: 0,
    at: new Date(Number(row?.stoptime) * 1000).toISOString().replace(".000", ""),
  });
  expect(await why("zm6jm60iylv63nd1xvb86clzpidn147y-hello.drv")).toMatchObject({
    http: 404,
    code: "unknown",
  });
  expect(await why("zm6jm60iylv63nd1xvb86clzpidn147y-hello")).toMatchObject({ http: 400 });
});

test("running, waiting for inputs, machines full, and the position in the queue", async () => {
  const below = endless("below");
  const builds = await queue(below);
  const [running] = builds;
  await pair().tables.waitBusy(running?.id ?? 0);
  builds.push(...(await queue(quick("above", `input = ${below};`), quick("second"), quick("third"))));
  const [, above, second, third] = builds;
  const drv = basename(running?.drv ?? "");
  const plain = (await machine("plain")).id;
  expect(await why(drv)).toEqual({
    http: 200,
    drvPath: drv,
    code: "running",
    machine: plain,
    hostname: "plain",
    since: time,
    phase: "building",
  });
  expect(await why(above?.drv ?? "")).toMatchObject({ code: "waitingForInputs", inputs: [drv], count: 1 });
  const full = [{ machine: plain, hostname: "plain", block: { kind: "full", jobs: 1, maxJobs: 1 } }];
  expect(await why(second?.drv ?? "")).toMatchObject({ code: "machinesBusy", machines: full, position: 1 });
  expect(await why(third?.drv ?? "")).toMatchObject({ code: "machinesBusy", machines: full, position: 2 });
  await pair().tables.bump(third?.id ?? 0);
  await until("the bump to count", async () => (await why(third?.drv ?? "")).position === 1);
  expect(await why(second?.drv ?? "")).toMatchObject({ position: 2 });
  expect((await pair().get("/status/overview")).reasons).toMatchObject({
    running: 1,
    waitingForInputs: 1,
    machinesBusy: 2,
    nextInLine: 0,
  });
  await cancel(builds);
});

test("a drained machine ends what it has and takes nothing, until it is resumed", async () => {
  const [running, waiting] = await queue(
    // Long enough for a busy machine to be drained meanwhile.
    shellDerivation("drained", "/bin/busybox sleep 5; echo > $out"),
    quick("resumed"),
  );
  await pair().tables.waitBusy(running?.id ?? 0);
  const { id } = await machine("plain");
  expect(await post("/machines/plain/drain")).toEqual({
    status: 200,
    answer: { machines: [id], draining: true },
  });
  expect(await why(waiting?.drv ?? "")).toMatchObject({
    code: "machinesBusy",
    machines: [{ machine: id, hostname: "plain", block: { kind: "draining" } }],
  });
  expect(await machine("plain")).toMatchObject({ draining: true, hasCapacity: false });
  await pair().tables.waitFinished([running?.id ?? 0]);
  await sleep(500);
  const ids = [running?.id ?? 0, waiting?.id ?? 0];
  expect(await shapes(pair(), ids)).toMatchObject({
    builds: ["0", "queued"],
    steps: ["0.1 drained build 0"],
  });
  expect(await post(`/machines/${String(id)}/resume`)).toEqual({
    status: 200,
    answer: { machines: [id], draining: false },
  });
  await pair().tables.waitFinished(ids);
  expect((await machine("plain")).draining).toBe(false);
  expect(await post("/machines/nobody/drain")).toMatchObject({ status: 404 });
});

test("over a threshold", async () => {
  const builds = await queue(quick("needs-disk", feature("diskless")));
  expect(await why(builds[0]?.drv ?? "")).toMatchObject({
    code: "machinesBusy",
    machines: [
      {
        hostname: "diskless",
        block: { kind: "threshold", what: "store", value: expect.any(Number), limit: 100 },
      },
    ],
    position: 1,
  });
  await cancel(builds);
});

test("no machine of the system, none with the feature", async () => {
  const builds = await queue(
    quick("strange", 'system = "riscv64-linux";').replace("system = builtins.currentSystem; ", ""),
    quick("featured", feature("time-travel")),
  );
  expect(await why(builds[0]?.drv ?? "")).toMatchObject({
    code: "unsupported",
    system: "riscv64-linux",
    systemKnown: false,
    features: [],
    missingFeatures: [],
    since: time,
    failsAt: time,
  });
  const second = await why(builds[1]?.drv ?? "");
  expect(second).toMatchObject({
    code: "unsupported",
    system: "x86_64-linux",
    systemKnown: true,
    features: ["time-travel"],
    missingFeatures: ["time-travel"],
  });
  expect(Date.parse(String(second.failsAt)) - Date.parse(String(second.since))).toBe(60_000);
  await cancel(builds);
});

test("retry later, with the error; and a machine that is held after three failures", async () => {
  const builds = await queue(
    ...["one", "two", "three", "four"].map((name) => endless(`broken-${name}`, feature("broken"))),
  );
  for (const { id } of builds.slice(0, 3)) {
    await pair().tables.waitBusy(id);
    await pair().builder(2).store.killWorkers();
  }
  await until("three failures", async () => (await machine("broken")).hasCapacity === false);
  const answers = await until("three retries", async () => {
    const all = await Promise.all(builds.map(({ drv }) => why(drv)));
    return all.filter(({ code }) => code === "retryLater").length === 3 ? all : undefined;
  });
  const before = Date.now();
  for (const answer of answers.slice(0, 3)) {
    expect(answer).toMatchObject({ code: "retryLater", tries: 1, maxTries: 2, at: time });
    expect(answer.reason).toMatch(/nix-daemon/);
    expect(Date.parse(String(answer.at))).toBeGreaterThan(before + 500_000);
  }
  expect(answers[3]).toMatchObject({
    code: "machinesBusy",
    machines: [{ hostname: "broken", block: { kind: "held", until: time, failures: 3 } }],
  });
  await until("the failures to be written", async () => (await pair().tables.busySteps()).length === 0);
  expect(
    (
      await shapes(
        pair(),
        builds.map(({ id }) => id),
      )
    ).steps,
  ).toEqual(["0.1 broken-one build 3", "1.1 broken-two build 3", "2.1 broken-three build 3"]);
  await cancel(builds);
});

test("waiting for the upload of its outputs", async () => {
  if (s3 === undefined) throw new Error("no bucket");
  s3.fault = () => ({ status: 503, code: "ServiceUnavailable" });
  const [build] = await queue(quick("gated"));
  const answer = await until("the step to wait for the upload", async () => {
    const now = await why(build?.drv ?? "");
    return ["gated", "finished", "unknown"].includes(String(now.code)) ? now : undefined;
  });
  expect(answer).toEqual({
    http: 200,
    drvPath: basename(build?.drv ?? ""),
    code: "gated",
    gate: "upload",
  });
  s3.fault = undefined;
  await pair().tables.waitFinished([build?.id ?? 0]);
  expect(await why(build?.drv ?? "")).toMatchObject({ code: "finished", status: 0 });
});

test("next in line: a slot is free, but the runner hands nothing out any more", async () => {
  const here = feature("two-slots");
  const builds = await queue(
    shellDerivation("short", "/bin/busybox sleep 3; echo > $out", here),
    shellDerivation("long", "/bin/busybox sleep 10; echo > $out", here),
    quick("left", here),
  );
  const [short, long, left] = builds;
  for (const build of [short, long]) await pair().tables.waitBusy(build?.id ?? 0);
  const stopped = pair().runner.stop();
  await pair().tables.waitFinished([short?.id ?? 0]);
  expect(await why(left?.drv ?? "")).toMatchObject({ code: "nextInLine", position: 1 });
  await stopped;
  expect(
    await shapes(
      pair(),
      builds.map(({ id }) => id),
    ),
  ).toMatchObject({
    builds: ["0", "0", "queued"],
    steps: ["0.1 short build 0", "1.1 long build 0"],
  });
});
