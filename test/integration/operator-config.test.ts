// The configuration of a public Hydra as it stands in its repository; only places and the S3 endpoint are adapted.
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { brotliDecompressSync } from "node:zlib";
import { afterAll, expect, test } from "vitest";
import { shellDerivation } from "../support/nix.js";
import { usePair } from "../support/pair.js";
import { type S3Server, startS3Server } from "../support/s3-server/index.js";
import { slowness } from "../support/slowness.js";
import { testDatabase } from "../support/test-database.js";
import { until } from "../support/until.js";

const run = promisify(execFile);

let folder = "";
let s3: S3Server | undefined;

const pair = usePair(async () => {
  folder = await mkdtemp(join(tmpdir(), "hydra-operator-"));
  s3 = await startS3Server({ buckets: ["my-bucket"] });
  const key = join(folder, "cache-key");
  await run("nix-store", ["--generate-binary-cache-key", "cache.example.org-1", key, `${key}.pub`]);
  const databaseUrl = await testDatabase();
  // The form that operators use: a socket folder, percent-encoded.
  expect(databaseUrl).toMatch(/^postgres:\/\/hydra@%2F[^/]+:5432\/\w+$/);
  const where = new URLSearchParams({ endpoint: s3.url, scheme: "http" });
  return {
    databaseUrl,
    runner: {
      dbUrl: databaseUrl,
      maxDbConnections: 128,
      dispatchTriggerTimerInS: 120,
      queueTriggerTimerInS: -1,
      machineSortFn: "SpeedFactorOnly",
      remoteStoreAddr: [
        `s3://my-bucket?region=eu-west-1&secret-key=${key}&ls-compression=br&log-compression=br&${where.toString()}`,
      ],
      useSubstitutes: false,
      maxRetries: 5,
      retryInterval: 60,
      retryBackoff: { toml: "3.0" },
      maxUnsupportedTimeInS: 120,
      stopQueueRunAfterInS: 60,
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

test("builds, and puts what it built into the bucket", async () => {
  const top = shellDerivation(
    "top",
    "read x < $below; echo $x above $below > $out; echo a line of log",
    `below = ${shellDerivation("below", "echo below > $out")};`,
  );
  const started = Date.now();
  const ids = await pair().build(top);
  await pair().tables.waitFinished(ids);
  // All timers stand at minutes: events alone must have moved it on.
  expect((Date.now() - started) / slowness()).toBeLessThan(30_000);
  const rows = await pair().tables.rows(ids);
  expect(rows.Builds).toMatchObject([{ buildstatus: 0, iscachedbuild: 0 }]);

  const objects = s3?.objects.get("my-bucket");
  const hashOf = (path: unknown): string =>
    String(path).slice("/nix/store/".length, "/nix/store/".length + 32);
  const outputs = rows.BuildStepOutputs.map(({ path }) => String(path));
  expect(outputs).toHaveLength(2);
  for (const path of outputs) {
    await until(`the narinfo of ${path}`, () => objects?.has(`${hashOf(path)}.narinfo`) === true);
    const text = objects?.get(`${hashOf(path)}.narinfo`)?.body.toString() ?? "";
    expect(text).toContain(`StorePath: ${path}\n`);
    expect(text).toContain("Compression: xz\n");
    expect(text).toMatch(/^Sig: cache\.example\.org-1:/m);
    const nar = /^URL: (.*)$/m.exec(text)?.[1] ?? "";
    expect(nar).toMatch(/^nar\/[0-9a-z]{52}\.nar\.xz$/);
    expect(objects?.get(nar)?.body.length).toBe(Number(/^FileSize: (\d+)$/m.exec(text)?.[1]));
  }
  expect(objects?.get("nix-cache-info")?.body.toString()).toContain("StoreDir: /nix/store");

  const drv = String(rows.Builds[0]?.drvpath).slice("/nix/store/".length);
  await until("the log", () => objects?.has(`log/${drv}`) === true);
  const log = objects?.get(`log/${drv}`);
  expect(log?.contentEncoding).toBe("br");
  expect(brotliDecompressSync(log?.body ?? new Uint8Array()).toString()).toBe("a line of log\n");
  const onDisk = join(pair().dataDir, "build-logs", drv.slice(0, 2), drv.slice(2));
  expect(await readFile(onDisk, "utf8")).toBe("a line of log\n");
});

test("a public key is enough to take it from there", async () => {
  // Everything that is referenced has its narinfo too, so a client can follow.
  const objects = s3?.objects.get("my-bucket") ?? new Map();
  const narinfos = [...objects].filter(([name]) => name.endsWith(".narinfo"));
  for (const [, { body }] of narinfos) {
    const references = /^References: ?(.*)$/m.exec(body.toString())?.[1]?.split(" ") ?? [];
    for (const reference of references.filter((one) => one !== "")) {
      expect(objects.has(`${reference.slice(0, 32)}.narinfo`)).toBe(true);
    }
  }
  expect(s3?.requests.length).toBeGreaterThan(0);
});
