// Builders that upload into the bucket themselves, when something goes wrong on the way.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterAll, afterEach, expect, test } from "vitest";
import { defaultStoreDir, parseFullStorePath } from "../../lib/nix/path/store-path.js";
import { publicKey, secretKey } from "../binary-cache/samples.js";
import { derivationFacts } from "../support/hydra-tables.js";
import { shellDerivation } from "../support/nix.js";
import { usePair } from "../support/pair.js";
import { type S3Request, type S3Server, startS3Server } from "../support/s3-server/index.js";
import { ScriptedBuilder } from "../support/scripted-builder.js";
import { testDatabase } from "../support/test-database.js";
import { until } from "../support/until.js";

let s3: S3Server;
let scratch: string;

const pair = usePair(async () => {
  scratch = await mkdtemp(join(tmpdir(), "trouble-"));
  await writeFile(join(scratch, "key"), secretKey);
  s3 = await startS3Server({ publicRead: true });
  const store = s3.uri("cache", {
    compression: "zstd",
    "write-nar-listing": "true",
    "secret-key": join(scratch, "key"),
  });
  return {
    databaseUrl: await testDatabase(),
    runner: { remoteStoreAddr: [store], usePresignedUploads: true },
    runnerEnv: {
      AWS_ACCESS_KEY_ID: s3.keys.accessKeyId,
      AWS_SECRET_ACCESS_KEY: s3.keys.secretAccessKey,
    },
    builders: [{ nixConf: `extra-substituters = ${s3.url}/cache\ntrusted-public-keys = ${publicKey}` }],
  };
});
afterAll(async () => {
  await s3?.close();
  await rm(scratch, { recursive: true, force: true });
});
afterEach(() => {
  s3.fault = undefined;
});

function inBucket(path: string): boolean {
  return s3.objects.get("cache")?.has(`${basename(path).slice(0, 32)}.narinfo`) === true;
}

/** A part of a NAR that a builder sends. */
function isPart({ method, key, query }: S3Request): boolean {
  return method === "PUT" && key.startsWith("nar/") && query.has("partNumber");
}

async function expectSuccess(id: number): Promise<string> {
  await pair().tables.waitFinished([id]);
  const rows = await pair().tables.rows([id]);
  expect(rows.Builds).toMatchObject([{ finished: 1, buildstatus: 0 }]);
  const path = String(rows.BuildOutputs[0]?.path);
  expect(inBucket(path)).toBe(true);
  return path;
}

async function queue(name: string, script = `echo ${name} > $out`): Promise<number> {
  const [id = 0] = await pair().build(shellDerivation(name, script));
  return id;
}

/** Resolves when its builder tries to upload, which it cannot. */
async function queueStuck(name: string): Promise<number> {
  let tried = false;
  s3.fault = (request) => {
    if (!isPart(request)) return undefined;
    tried = true;
    return { status: 503, code: "ServiceUnavailable" };
  };
  const id = await queue(name);
  await until("the upload to be tried", () => tried);
  return id;
}

test("URLs that have expired are replaced, and the attempt goes on", async () => {
  const refused: S3Request[] = [];
  const signature = ({ query }: S3Request): string => query.get("X-Amz-Signature") ?? "";
  const object = ({ key, query }: S3Request): string => `${key}#${query.get("partNumber")}`;
  // The first URL of each object is no good, however often it is tried.
  s3.fault = (request) => {
    if (request.method !== "PUT" || signature(request) === "") return undefined;
    const before = refused.find((one) => object(one) === object(request));
    if (before !== undefined && signature(before) !== signature(request)) return undefined;
    refused.push(request);
    return { status: 403, code: "AccessDenied" };
  };
  const id = await queue("expired");
  await expectSuccess(id);
  expect(refused.some(isPart)).toBe(true);
  expect(refused.some(({ key }) => key.endsWith(".ls"))).toBe(true);
  // The fresh URL of a part belongs to the upload that was begun.
  const part = refused.find(isPart);
  const sent = s3.requests.filter((request) => isPart(request) && request.key === part?.key);
  expect(new Set(sent.map(({ query }) => query.get("uploadId"))).size).toBe(1);
  expect((await pair().tables.rows([id])).BuildSteps).toMatchObject([{ stepnr: 1, status: 0 }]);
  await until("uploads to be aborted", () => s3.uploads.size === 0);
});

test("a bucket that is out of order for a while costs time, not the attempt", async () => {
  let left = 4;
  s3.fault = (request) =>
    isPart(request) && left-- > 0 ? { status: 503, code: "ServiceUnavailable" } : undefined;
  const id = await queue("outage");
  await expectSuccess(id);
  expect(left).toBeLessThan(0);
  expect((await pair().tables.rows([id])).BuildSteps).toMatchObject([{ stepnr: 1, status: 0 }]);
});

test("a build that is cancelled in mid-upload leaves nothing in the bucket", async () => {
  const id = await queueStuck("cancelled");
  await pair().tables.cancel([id]);
  await until("the upload to be aborted", () => s3.uploads.size === 0);
  s3.fault = undefined;
  const tried = s3.requests.length;
  // The builder is free again, and has not gone on with it.
  await expectSuccess(await queue("after-the-cancel"));
  expect(s3.requests.slice(tried).filter(isPart)).toHaveLength(1);
  const rows = await pair().tables.rows([id]);
  expect(rows.BuildSteps).toMatchObject([{ busy: 0, status: 4 }]);
  expect(inBucket(String(rows.BuildOutputs[0]?.path))).toBe(false);
});

test("an upload goes on when the runner is killed and comes back", async () => {
  const id = await queueStuck("restarted");
  await pair().runner.kill();
  await pair().startRunner();
  s3.fault = undefined;
  await expectSuccess(id);
  // What was built was not built again, only uploaded.
  expect(pair().builder().process.output()).toMatch(/an upload is begun again path=[0-9a-z]{32}-restarted/);
  expect(await pair().tables.busySteps()).toEqual([]);
});

test("outputs that are in the runner's store but not in the bucket go there, outage or not", async () => {
  const expression = shellDerivation("local", "echo local > $out");
  const [drv = ""] = await pair().instantiate(expression);
  const out = (await pair().store.run("nix-store", ["-r", drv])).trim();
  expect(inBucket(out)).toBe(false);
  s3.fault = () => ({ status: 503, code: "ServiceUnavailable" });
  const [id = 0] = await pair().build(expression);
  await pair().tables.waitFinished([id]);
  const rows = await pair().tables.rows([id]);
  expect(rows.Builds).toMatchObject([{ finished: 1, buildstatus: 0, iscachedbuild: 1 }]);
  expect(inBucket(out)).toBe(false);
  // It is in the journal, which outlives the process.
  await pair().runner.kill();
  s3.fault = undefined;
  await pair().startRunner();
  await until("the upload", () => inBucket(out));
});

test("a success whose output nobody uploaded is no success: the step is tried again", async () => {
  const expression = shellDerivation("claimed", "echo claimed > $out");
  const [drv = ""] = await pair().instantiate(expression);
  const { outputs } = await derivationFacts(pair().store, drv);
  const path = parseFullStorePath(defaultStoreDir, outputs.get("out") ?? "");
  const liar = await ScriptedBuilder.join({
    endpoint: pair().gatewayUrl,
    store: pair().store,
    make: () => "nothing",
    claim: () => ({ path, narSize: 120, closureSize: 120, narHash: undefined, nixSupport: undefined }),
  });
  await pair().waitForBuilders(2);
  await pair().builder().process.stop();
  await pair().waitForBuilders(1);
  const [id = 0] = await pair().build(expression);
  const refused = await until("the report to be refused", async () => {
    const { BuildSteps } = await pair().tables.rows([id]);
    return BuildSteps.find(({ status }) => status === 3);
  });
  expect(refused).toMatchObject({ machine: "scripted", errormsg: expect.stringContaining("did not arrive") });
  expect(liar.orders).toContain(basename(drv));
  await liar[Symbol.asyncDispose]();
  pair().startBuilder();
  expect(basename(await expectSuccess(id))).toBe(path);
});
