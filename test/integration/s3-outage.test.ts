// A bucket that is out of order delays results; it neither loses nor changes them.
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { afterAll, expect, test } from "vitest";
import { shellDerivation } from "../support/nix.js";
import { usePair } from "../support/pair.js";
import { type S3Server, startS3Server } from "../support/s3-server/index.js";
import { testDatabase } from "../support/test-database.js";
import { until } from "../support/until.js";

const run = promisify(execFile);
const bucket = "cache";
let folder = "";
let s3: S3Server | undefined;

const pair = usePair(async () => {
  folder = await mkdtemp(join(tmpdir(), "hydra-outage-"));
  s3 = await startS3Server({ buckets: [bucket] });
  const key = join(folder, "cache-key");
  await run("nix-store", ["--generate-binary-cache-key", "outage-1", key, `${key}.pub`]);
  const where = new URLSearchParams({ endpoint: s3.url, scheme: "http", region: "eu-west-1" });
  return {
    databaseUrl: await testDatabase(),
    runner: { remoteStoreAddr: [`s3://${bucket}?${where.toString()}&secret-key=${key}`] },
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

function breakBucket(broken: boolean): void {
  if (s3 === undefined) throw new Error("no bucket");
  s3.fault = broken ? () => ({ status: 503, code: "ServiceUnavailable" }) : undefined;
}

async function narInfoOf(build: number): Promise<string> {
  const rows = await pair().tables.rows([build]);
  const path = String(rows.BuildStepOutputs[0]?.path);
  return `${path.slice("/nix/store/".length, "/nix/store/".length + 32)}.narinfo`;
}

const inBucket = (key: string): boolean => s3?.objects.get(bucket)?.has(key) === true;

test("a build is finished when its outputs are there, not before", async () => {
  breakBucket(true);
  const [id = 0] = await pair().build(shellDerivation("waiting", "echo waiting > $out"));
  const narInfo = await until("the upload to be tried", async () => {
    const rows = await pair().tables.rows([id]);
    const tried = (s3?.requests.length ?? 0) > 3;
    return tried && rows.BuildStepOutputs.length > 0 ? await narInfoOf(id) : undefined;
  });
  await sleep(1_500);
  expect((await pair().tables.rows([id])).Builds).toMatchObject([{ finished: 0 }]);
  breakBucket(false);
  await pair().tables.waitFinished([id]);
  expect((await pair().tables.rows([id])).Builds).toMatchObject([{ finished: 1, buildstatus: 0 }]);
  expect(inBucket(narInfo)).toBe(true);
});

test("what waits for the bucket is uploaded by the next runner when this one is killed", async () => {
  breakBucket(true);
  const [id = 0] = await pair().build(shellDerivation("survivor", "echo survivor > $out"));
  const before = s3?.requests.length ?? 0;
  await until("the upload to be tried", async () => {
    const rows = await pair().tables.rows([id]);
    return (s3?.requests.length ?? 0) > before + 2 && rows.BuildStepOutputs.length > 0;
  });
  const narInfo = await narInfoOf(id);
  await pair().runner.kill();
  breakBucket(false);
  await pair().startRunner();
  await pair().tables.waitFinished([id]);
  await until("the upload", () => inBucket(narInfo));
  expect((await pair().tables.rows([id])).Builds).toMatchObject([{ finished: 1, buildstatus: 0 }]);
  expect(await pair().tables.busySteps()).toEqual([]);
});
