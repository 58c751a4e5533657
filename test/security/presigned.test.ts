// What a builder that writes into the bucket itself may make the runner sign, over real sockets.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterAll, afterEach, beforeEach, expect, test } from "vitest";
import { openBinaryCache } from "../../lib/binary-cache/index.js";
import { parseNarInfo } from "../../lib/nix/index.js";
import { type ContentAddress, makeFixedOutputPath } from "../../lib/nix/path/content-address.js";
import { hashBytes } from "../../lib/nix/path/hash.js";
import { defaultStoreDir, parseStorePath, type StorePath } from "../../lib/nix/path/store-path.js";
import type { BuildOrder, BuiltOutput } from "../../lib/rpc/types.js";
import { file, narsOf, type Sample, sample, secretKey } from "../binary-cache/samples.js";
import { LyingBuilder } from "../support/lying-builder.js";
import { shellDerivation } from "../support/nix.js";
import { usePair } from "../support/pair.js";
import { type S3Server, startS3Server } from "../support/s3-server/index.js";
import { testDatabase } from "../support/test-database.js";
import { until } from "../support/until.js";

let s3: S3Server;
let scratch: string;

const pair = usePair(async () => {
  scratch = await mkdtemp(join(tmpdir(), "rights-"));
  await writeFile(join(scratch, "key"), secretKey);
  s3 = await startS3Server({ buckets: ["cache", "other"] });
  const store = (bucket: string): string =>
    s3.uri(bucket, { compression: "none", "secret-key": join(scratch, "key") });
  return {
    databaseUrl: await testDatabase(),
    builders: [],
    runner: { remoteStoreAddr: [store("cache"), store("other")], usePresignedUploads: true, maxRetries: 1 },
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

const system = "x86_64-linux";
let serial = 0;
let builder: LyingBuilder;
let order: BuildOrder;
let build: number;

beforeEach(async () => {
  builder = await LyingBuilder.join(pair().gatewayUrl, system);
  [build = 0] = await pair().build(shellDerivation(`own-${serial++}`, "echo > $out"));
  order = await builder.order(0);
});
afterEach(async () => {
  await pair().tables.cancel([build]);
  await builder[Symbol.asyncDispose]();
  await pair().waitForBuilders(0);
});

function narInfoOf(path: StorePath, bucket = "cache"): string | undefined {
  return s3.objects
    .get(bucket)
    ?.get(`${path.slice(0, 32)}.narinfo`)
    ?.body.toString();
}

function outputOf({ derivation }: BuildOrder): StorePath {
  const output = derivation?.outputs.get("out");
  if (output?.kind !== "inputAddressed") throw new Error("the order names no output path");
  return output.path;
}

/** The output of the order, with contents that nothing was built for. */
function made(references: readonly StorePath[] = []): Sample {
  const { nar, info } = sample("x", file(`made ${serial}\n`), references);
  return { nar, info: { ...info, path: outputOf(order) } };
}

function named(name: string, text: string, references: readonly StorePath[] = []): Sample {
  const { nar, info } = sample("x", file(text), references);
  return { nar, info: { ...info, path: parseStorePath(`${"7".repeat(32)}-${name}-${serial}`) } };
}

/** All that an honest builder does for one path, until the runner has taken it. */
async function upload({ info, nar }: Sample): Promise<void> {
  const { path, narHash, narSize } = info;
  const about = { buildId: order.buildId, machineId: builder.machineId };
  const requests = [{ path, narHash, narSize, debugInfoBuildIds: [] }];
  const [minted] = await builder.client.requestPresignedUrls({ ...about, requests });
  if (minted?.narUpload.multipart === undefined) throw new Error(`no URLs for ${path}`);
  const { uploadId, parts } = minted.narUpload.multipart;
  const response = await fetch(parts[0]?.url ?? "", { method: "PUT", body: nar });
  expect(response.status).toBe(200);
  const etag = (response.headers.get("etag") ?? "").replaceAll('"', "");
  await builder.client.notifyPresignedUploadComplete({
    ...about,
    narInfo: { ...info, url: minted.narUrl, compression: "none", fileHash: narHash, fileSize: nar.length },
    multipart: { objectKey: minted.narUpload.path, uploadId, parts: [{ partNumber: 1, etag }] },
    narAlreadyPresent: false,
    bucket: minted.bucket,
  });
}

function claim({ info }: Sample): ReadonlyMap<string, BuiltOutput> {
  const { path, narSize, narHash } = info;
  return new Map([["out", { path, narSize, narHash, closureSize: narSize, nixSupport: undefined }]]);
}

/** Whatever was tried, a success with the true output goes on as always. */
async function succeeds(output: Sample = made(), uploaded: Promise<void> = upload(output)): Promise<void> {
  await uploaded;
  await builder.succeed(order, claim(output));
  await pair().tables.waitFinished([build]);
  expect((await pair().tables.rows([build])).Builds).toMatchObject([{ buildstatus: 0 }]);
  const text = narInfoOf(output.info.path) ?? "";
  expect(parseNarInfo(defaultStoreDir, text)).toMatchObject({
    narHash: output.info.narHash,
    signatures: [expect.stringMatching(/^test\.example\.org-1:/)],
  });
}

const refused = { code: "permission-denied" };

test("a path that another build makes is not signed", async () => {
  const forged = named("forged", "forged\n");
  await expect(upload(forged)).rejects.toMatchObject(refused);
  await succeeds();
  expect(narInfoOf(forged.info.path)).toBeUndefined();
});

test("an output is in the cache from the moment at which its builder reports success", async () => {
  const output = made();
  await upload(output);
  expect(narInfoOf(output.info.path)).toBeUndefined();
  await succeeds(output, Promise.resolve());
  await until("the other bucket", () => narInfoOf(output.info.path, "other"));
});

test("what was uploaded for a build that fails gets no narinfo", async () => {
  const output = made();
  await upload(output);
  await builder.client.completeBuild({
    buildId: order.buildId,
    machineId: builder.machineId,
    state: "buildFailure",
    importMs: 0,
    buildMs: 1,
    uploadMs: 0,
    outputs: new Map(),
    error: "no",
  });
  await pair().tables.waitFinished([build]);
  await expect(upload(output)).rejects.toMatchObject({ code: "failed-precondition" });
  expect(narInfoOf(output.info.path)).toBeUndefined();
});

test("what was uploaded for a build whose report is refused gets no narinfo", async () => {
  const output = made();
  await upload(output);
  const lie = new Map([...claim(output)].map(([name, one]) => [name, { ...one, narSize: one.narSize + 1 }]));
  await builder.succeed(order, lie);
  await until("the report to be refused", async () =>
    (await pair().tables.rows([build])).BuildSteps.find(({ status }) => status === 3),
  );
  expect(narInfoOf(output.info.path)).toBeUndefined();
});

test("paths that follow from the hash of their NAR are taken, and no other kind of address", async () => {
  const { nar, info } = sample("x", file(`addressed ${serial}\n`));
  const addressed = (ca: ContentAddress): Sample => {
    const path = makeFixedOutputPath(defaultStoreDir, `addressed-${serial}`, ca);
    return { nar, info: { ...info, path, ca } };
  };
  const right = addressed({ method: "nixArchive", hash: info.narHash });
  const other = hashBytes("sha256", Buffer.from("other"));
  const lies = [
    addressed({ method: "nixArchive", hash: other }),
    addressed({ method: "flat", hash: other }),
    addressed({ method: "text", hash: other }),
    { nar, info: { ...right.info, ca: undefined } },
    { nar, info: { ...right.info, references: [outputOf(order)] } },
  ];
  for (const lie of lies) await expect(upload(lie)).rejects.toMatchObject(refused);
  await upload(right);
  expect(narInfoOf(right.info.path)).toBeUndefined();
  await succeeds(made([right.info.path]));
  for (const lie of lies.slice(0, 3)) expect(narInfoOf(lie.info.path)).toBeUndefined();
  expect(narInfoOf(right.info.path)).toMatch(/^CA: fixed:r:sha256:/m);
});

/** The same path with other contents, or with other references. */
function liesAbout({ nar, info }: Sample): readonly Sample[] {
  const other = sample("x", file("other\n"));
  const { narHash, narSize } = other.info;
  return [
    { nar: other.nar, info: { ...info, narHash, narSize } },
    { nar, info: { ...info, references: [outputOf(order)] } },
  ];
}

test("inputs that the runner's store has are taken as they are there", async () => {
  const [drv = ""] = await pair().instantiate(shellDerivation(`input-${serial}`, "echo input > $out"));
  const out = (await pair().store.run("nix-store", ["-r", drv])).trim();
  const { nar, info } = sample("x", file("input\n"));
  const input = { nar, info: { ...info, path: parseStorePath(basename(out)) } };
  for (const lie of liesAbout(input)) await expect(upload(lie)).rejects.toMatchObject(refused);
  await upload(input);
  await succeeds(made([input.info.path]));
  expect(narInfoOf(input.info.path)).toBeDefined();
});

test("inputs that another cache of the runner has are taken as they are there", async () => {
  const input = named("elsewhere", "elsewhere\n");
  const cache = await openBinaryCache(s3.uri("other", { compression: "none" }), { credentials: s3.keys });
  await cache.uploadPath(input.info, narsOf(input));
  cache.close();
  for (const lie of liesAbout(input)) await expect(upload(lie)).rejects.toMatchObject(refused);
  await upload(input);
  await succeeds(made([input.info.path]));
  expect(narInfoOf(input.info.path)).toBeDefined();
});

test("an upload that was complete when the runner was killed is published after the report to the next", async () => {
  const output = made();
  await upload(output);
  await pair().runner.kill();
  await pair().startRunner();
  const { machineId } = builder;
  await builder[Symbol.asyncDispose]();
  const running = [{ buildId: order.buildId, drv: order.drv, ageMs: 1_000 }];
  builder = await until("the port of the builders", () =>
    LyingBuilder.join(pair().gatewayUrl, system, { machineId, running }).catch(() => undefined),
  );
  expect(narInfoOf(output.info.path)).toBeUndefined();
  await succeeds(output, Promise.resolve());
  expect((await pair().tables.rows([build])).BuildSteps.filter(({ status }) => status === 0)).toHaveLength(1);
});
