// Outputs are uploaded into a bucket while they arrive; the upload is held open until their builder has reported.
import { createHash } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { performance } from "node:perf_hooks";
import { afterAll, expect, test } from "vitest";
import { decompress } from "../../lib/compression/index.js";
import { parseNarInfo } from "../../lib/nix/index.js";
import { parseStoreDir } from "../../lib/nix/path/store-path.js";
import { secretKey } from "../binary-cache/samples.js";
import { shellDerivation } from "../support/nix.js";
import { usePair } from "../support/pair.js";
import { type S3Server, type StoredS3Object, startS3Server } from "../support/s3-server/index.js";
import { testDatabase } from "../support/test-database.js";
import { until } from "../support/until.js";

const mebibyte = 1 << 20;
let s3: S3Server;
let scratch: string;

const pair = usePair(async () => {
  scratch = await mkdtemp(join(tmpdir(), "staged-"));
  await writeFile(join(scratch, "key"), secretKey);
  s3 = await startS3Server();
  const store = s3.uri("cache", { compression: "zstd", "secret-key": join(scratch, "key") });
  return {
    databaseUrl: await testDatabase(),
    runner: { remoteStoreAddr: [store] },
    runnerEnv: {
      AWS_ACCESS_KEY_ID: s3.keys.accessKeyId,
      AWS_SECRET_ACCESS_KEY: s3.keys.secretAccessKey,
    },
  };
});
afterAll(async () => {
  await s3?.close();
  await rm(scratch, { recursive: true, force: true });
});

function object(key: string): StoredS3Object {
  const found = s3.objects.get("cache")?.get(key);
  if (found === undefined) throw new Error(`there is no ${key} in the bucket`);
  return found;
}

function nars(): string[] {
  return [...(s3.objects.get("cache")?.keys() ?? [])].filter((key) => key.startsWith("nar/"));
}

function beganUploads(): number {
  return s3.requests.filter(({ method, query }) => method === "POST" && query.has("uploads")).length;
}

function random(name: string, mebibytes: number, more = ""): string {
  return shellDerivation(name, `/bin/busybox dd if=/dev/urandom of=$out bs=1M count=${mebibytes}${more}`);
}

/** Base 16. */
async function sha256(chunks: AsyncIterable<Uint8Array>): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of chunks) hash.update(chunk);
  return hash.digest("hex");
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

test.each([
  ["small", 3, 0],
  ["large", 40, 1],
] as const)("a %s output is in the bucket as it was built", async (name, mebibytes, inParts) => {
  const before = beganUploads();
  const [id = 0] = await pair().build(random(`staged-${name}`, mebibytes));
  await pair().tables.waitFinished([id]);
  const rows = await pair().tables.rows([id]);
  expect(rows.Builds).toMatchObject([{ finished: 1, buildstatus: 0 }]);
  const path = String(rows.BuildStepOutputs[0]?.path);
  const info = parseNarInfo(
    parseStoreDir("/nix/store"),
    object(`${basename(path).slice(0, 32)}.narinfo`).body.toString(),
  );
  const { body } = object(info.url);
  expect(info.fileSize).toBe(body.length);
  expect(Buffer.from(info.fileHash?.digest ?? []).toString("hex")).toBe(await sha256(once(body)));
  const nar = decompress(once(body), { method: "zstd", maxOutput: info.narSize + 1 });
  expect(await sha256(nar)).toBe(Buffer.from(info.narHash.digest).toString("hex"));
  const [hash] = (await pair().store.run("nix-store", ["--query", "--hash", path])).split("\n");
  expect(hash).toMatch(/^sha256:/);
  expect(info.narSize).toBeGreaterThan(mebibytes * mebibyte);
  // A second pass would have begun another one.
  expect(beganUploads() - before).toBe(inParts);
  expect(s3.uploads.size).toBe(0);
});

test("a build that fails leaves neither an object nor an open upload", async () => {
  const before = nars();
  const [id = 0] = await pair().build(random("staged-failing", 20, "; exit 1"));
  await pair().tables.waitFinished([id]);
  expect((await pair().tables.rows([id])).Builds).toMatchObject([{ finished: 1, buildstatus: 1 }]);
  expect(nars()).toEqual(before);
  expect(s3.uploads.size).toBe(0);
});

test("a builder that dies while it sends leaves neither; the next try has all of it", async () => {
  const before = nars();
  s3.fault = ({ method, query }) =>
    method === "PUT" && query.has("partNumber") ? { delayMs: 1_500 } : undefined;
  const [id = 0] = await pair().build(random("staged-again", 40));
  await until("a part to be uploaded", async () => s3.uploads.size > 0);
  await pair().builder().process.kill();
  await until("the upload to be given up", async () => s3.uploads.size === 0);
  expect(nars()).toEqual(before);
  s3.fault = undefined;
  pair().startBuilder();
  await pair().tables.waitFinished([id]);
  expect((await pair().tables.rows([id])).Builds).toMatchObject([{ finished: 1, buildstatus: 0 }]);
  expect(nars()).toHaveLength(before.length + 1);
  expect(s3.uploads.size).toBe(0);
});

test("a runner that is stopped gives its steps 30 s, and none to a bucket that is silent", async () => {
  s3.fault = ({ method, query }) =>
    query.has("partNumber") || method === "DELETE" ? { delayMs: 60_000 } : undefined;
  await pair().build(random("staged-closing", 40));
  await until("an upload to begin", async () => s3.uploads.size > 0);
  const began = performance.now();
  await pair().runner.stop(60_000);
  expect(performance.now() - began).toBeLessThan(50_000);
  s3.fault = undefined;
});
