// Builders that put their outputs into the bucket themselves, with URLs that the runner signs.
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, expect, test } from "vitest";
import { parseNarInfo } from "../../lib/nix/index.js";
import { parseStoreDir } from "../../lib/nix/store-path.js";
import { shellDerivation, startNixStore } from "../support/nix.js";
import { usePair } from "../support/pair.js";
import { type S3Server, startS3Server } from "../support/s3-server/index.js";
import { testDatabase } from "../support/test-database.js";
import { until } from "../support/until.js";

const run = promisify(execFile);
const bucket = "outputs";

let folder = "";
let publicKey = "";
let s3: S3Server | undefined;
let web: Server | undefined;

/** The bucket as a plain web server, which is how clients see a cache. */
async function serveBucket(server: S3Server): Promise<string> {
  web = createServer((request, response) => {
    const object = server.objects.get(bucket)?.get(decodeURIComponent((request.url ?? "/").slice(1)));
    response.writeHead(object === undefined ? 404 : 200);
    response.end(request.method === "HEAD" ? undefined : object?.body);
  });
  await new Promise<void>((done) => web?.listen(0, "127.0.0.1", done));
  return `http://127.0.0.1:${(web.address() as AddressInfo).port}`;
}

let cacheUrl = "";

const pair = usePair(async () => {
  folder = await mkdtemp(join(tmpdir(), "hydra-presigned-"));
  s3 = await startS3Server({ buckets: [bucket] });
  cacheUrl = await serveBucket(s3);
  const key = join(folder, "cache-key");
  await run("nix-store", ["--generate-binary-cache-key", "presigned-1", key, `${key}.pub`]);
  publicKey = (await readFile(`${key}.pub`, "utf8")).trim();
  const where = new URLSearchParams({ endpoint: s3.url, scheme: "http", region: "eu-west-1" });
  const nixConf = `substituters = ${cacheUrl}\ntrusted-public-keys = ${publicKey}`;
  return {
    databaseUrl: await testDatabase(),
    builders: [
      { nixConf, settings: { useSubstitutes: true } },
      { nixConf, settings: { useSubstitutes: true } },
    ],
    runner: {
      usePresignedUploads: true,
      remoteStoreAddr: [
        `s3://${bucket}?${where.toString()}&compression=zstd&write-nar-listing=true&secret-key=${key}`,
      ],
    },
    runnerEnv: {
      AWS_ACCESS_KEY_ID: s3.keys.accessKeyId,
      AWS_SECRET_ACCESS_KEY: s3.keys.secretAccessKey,
    },
  };
});

afterAll(async () => {
  web?.close();
  await s3?.close();
  await rm(folder, { recursive: true, force: true });
});

function objects(): Map<string, { readonly body: Buffer }> {
  return s3?.objects.get(bucket) ?? new Map();
}

async function outputsOf(ids: readonly number[]): Promise<string[]> {
  const rows = await pair().tables.rows(ids);
  expect(rows.Builds.map(({ finished, buildstatus }) => [finished, buildstatus])).toEqual(
    ids.map(() => [1, 0]),
  );
  return rows.BuildStepOutputs.map(({ path }) => String(path));
}

const lower = shellDerivation("lower", "echo lower > $out; echo a line of log");
const upper = shellDerivation("upper", "read x < $lower; echo $x $lower > $out", `lower = ${lower};`);
const large = shellDerivation("large", "/bin/busybox head -c 25165824 /dev/urandom > $out");

test("outputs, listings and logs are in the bucket when their builds are finished", async () => {
  const ids = await pair().build(lower, large);
  await pair().tables.waitFinished(ids);
  for (const path of await outputsOf(ids)) {
    const hash = path.slice("/nix/store/".length, "/nix/store/".length + 32);
    const text = objects().get(`${hash}.narinfo`)?.body.toString() ?? "";
    const info = parseNarInfo(parseStoreDir("/nix/store"), text);
    expect(info.signatures.map((signature) => signature.split(":")[0])).toEqual(["presigned-1"]);
    expect(objects().get(info.url)?.body.length).toBe(info.fileSize);
    expect(objects().has(`${hash}.ls`)).toBe(true);
    // The outputs never went through the runner.
    await expect(pair().store.run("nix-store", ["--check-validity", path])).rejects.toThrow();
  }
  const rows = await pair().tables.rows(ids);
  const drv = String(rows.Builds[0]?.drvpath).slice("/nix/store/".length);
  await until("the log", () => objects().has(`log/${drv}`));
  expect(s3?.uploads.size).toBe(0);
});

test("a build takes its inputs from there", async () => {
  const ids = await pair().build(upper);
  await pair().tables.waitFinished(ids);
  expect(await outputsOf(ids)).toHaveLength(1);
});

test("what is in the bucket is not built again", async () => {
  const ids = await pair().build(lower);
  await pair().tables.waitFinished(ids);
  expect((await pair().tables.rows(ids)).Builds).toMatchObject([{ buildstatus: 0, iscachedbuild: 1 }]);
});

test("a client that trusts nothing but the key takes the closure from there", async () => {
  const rows = await pair().tables.client.query<{ path: string }>(
    "select path from buildstepoutputs where path like '%-upper'",
  );
  const path = rows.rows[0]?.path ?? "";
  const client = await startNixStore({
    directory: folder,
    name: "client",
    extraConf: `substituters = ${cacheUrl}\ntrusted-public-keys = ${publicKey}`,
  });
  try {
    await client.run("nix-store", ["--realise", path]);
    await client.run("nix-store", ["--verify-path", path]);
  } finally {
    await client.close();
  }
});
