// What is believed of a report of success, in particular of a builder that was to upload for itself.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { isPresignedCache, openBinaryCache, type PresignedCache } from "../../../lib/binary-cache/index.js";
import { type ContentAddress, makeFixedOutputPath } from "../../../lib/nix/path/content-address.js";
import { hashBytes } from "../../../lib/nix/path/hash.js";
import { defaultStoreDir, parseStorePath, type StorePath } from "../../../lib/nix/path/store-path.js";
import type { ValidPathInfo } from "../../../lib/nix/store/path-info.js";
import type { Store } from "../../../lib/nix/store/store.js";
import type { BuiltOutput } from "../../../lib/rpc/types.js";
import { checkOutputs } from "../../../lib/runner/attempt/output-check.js";
import { PresignedUploads } from "../../../lib/runner/outputs/presigned/presigned-uploads.js";
import type { Attempt } from "../../../lib/runner/state/attempts.js";
import { attemptId, machineId } from "../../../lib/scheduler/ids.js";
import { file, narsOf, type Sample, sample, secretKey } from "../../binary-cache/samples.js";
import { type S3Server, startS3Server } from "../../support/s3-server/index.js";

const out = sample("a", file("out\n"));

let server: S3Server;
let scratch: string;
let cache: PresignedCache;
let presigned: PresignedUploads;
const attempt = {
  id: attemptId("6d9ad3a5-53a5-4b6f-8b28-2b3a4f3b7c11"),
  machine: machineId("machine"),
  drv: parseStorePath("dddddddddddddddddddddddddddddddd-sample.drv"),
  facts: { outputs: new Map([["out", out.info.path]]) },
} as unknown as Attempt;

beforeEach(async () => {
  server = await startS3Server();
  scratch = await mkdtemp(join(tmpdir(), "check-"));
  await writeFile(join(scratch, "key"), secretKey);
  const uri = server.uri("cache", { "secret-key": join(scratch, "key"), compression: "none" });
  const opened = await openBinaryCache(uri, { credentials: server.keys });
  if (!isPresignedCache(opened)) throw new Error("no presigned cache");
  cache = opened;
  presigned = new PresignedUploads({
    uploads: { presignedCache: () => cache, publishedInfos: async function* () {} },
    store: { storeDir: defaultStoreDir, queryPathInfos: async () => new Map() },
  });
});
afterEach(async () => {
  cache.close();
  await server.close();
  await rm(scratch, { recursive: true });
});

function check(valid: readonly StorePath[] = []): Promise<readonly StorePath[]> {
  const store = {
    queryPathInfos: async (paths: readonly StorePath[]) =>
      new Map(paths.filter((path) => valid.includes(path)).map((path) => [path, out.info])),
  } as Partial<Store> as Store;
  const reported: BuiltOutput = {
    path: out.info.path,
    narSize: out.info.narSize,
    narHash: out.info.narHash,
    closureSize: out.info.narSize,
    nixSupport: undefined,
  };
  return checkOutputs(
    { store, incoming: { demandProvable: () => {} }, presigned, uploadMode: () => "from-builders" },
    attempt,
    new Map([["out", reported]]),
  );
}

function request({ info }: Sample) {
  const { path, narHash, narSize } = info;
  return { path, narHash, narSize, debugInfoBuildIds: [] };
}

async function complete({ info, nar }: Sample): Promise<void> {
  const [minted] = await presigned.mint(attempt, [request({ info, nar })]);
  if (minted === undefined) throw new Error("nothing to upload");
  const upload = minted.narUpload.multipart;
  const [part] = upload?.parts ?? [];
  const response = await fetch(part?.url ?? "", { method: "PUT", body: nar });
  await presigned.complete(attempt, {
    narInfo: {
      ...info,
      url: minted.narUrl,
      compression: "none",
      fileHash: hashBytes("sha256", nar),
      fileSize: nar.length,
    },
    multipart: {
      objectKey: minted.narUpload.path,
      uploadId: upload?.uploadId ?? "",
      parts: [{ partNumber: 1, etag: response.headers.get("etag") ?? "" }],
    },
    narAlreadyPresent: false,
    bucket: cache.name,
  });
}

test("outputs that were uploaded are taken", async () => {
  await complete(out);
  expect(await check()).toEqual([]);
});

test("outputs that the bucket had before are taken", async () => {
  await cache.uploadPath(out.info, narsOf(out));
  expect(await presigned.mint(attempt, [request(out)])).toEqual([]);
  expect(await check()).toEqual([]);
});

test("outputs for which nobody asked or that nobody completed are missed", async () => {
  await expect(check()).rejects.toMatchObject({ code: "output-missing" });
  await presigned.mint(attempt, [request(out)]);
  await expect(check()).rejects.toMatchObject({ code: "output-missing" });
});

test("outputs with other contents than the bucket's are refused", async () => {
  const { nar, info } = sample("a", file("something else\n"));
  await cache.uploadPath(info, narsOf({ nar, info }));
  await expect(check()).rejects.toMatchObject({ code: "output-mismatch" });
});

test("what did not go to the bucket is ours to upload when our store has it", async () => {
  await presigned.mint(attempt, [request(out)]);
  expect(await check([out.info.path])).toEqual([out.info.path]);
});

test("when an attempt is over, what was begun for it is aborted, also what is being begun", async () => {
  await presigned.mint(attempt, [request(out)]);
  const late = presigned.mint(attempt, [request(sample("b", file("late\n")))]);
  await presigned.abandon(attempt);
  await late;
  expect(server.requests.some(({ query, method }) => method === "POST" && query.has("uploads"))).toBe(true);
  expect(server.uploads.size).toBe(0);
});

test("a bucket that cannot be asked is no proof", async () => {
  server.fault = () => ({ status: 503, code: "ServiceUnavailable" });
  await expect(check()).rejects.toMatchObject({ code: "unavailable" });
});

describe("an output that only the build can name", () => {
  const name = "floating";
  const { nar, info } = sample("x", file("floating\n"));
  const ca: ContentAddress = { method: "nixArchive", hash: info.narHash };
  const path = makeFixedOutputPath(defaultStoreDir, name, ca);
  const floating = {
    ...attempt,
    facts: { name, outputs: new Map([["out", undefined]]) },
  } as unknown as Attempt;

  async function checkFloating(
    found: ValidPathInfo,
    uploadMode: "from-builders" | "through-runner",
  ): Promise<readonly StorePath[]> {
    const { narSize, narHash } = found;
    const reported = { path: found.path, narSize, narHash, closureSize: narSize, nixSupport: undefined };
    return checkOutputs(
      {
        store: { storeDir: defaultStoreDir, queryPathInfos: async () => new Map([[found.path, found]]) },
        incoming: { demandProvable: () => {} },
        presigned,
        uploadMode: () => uploadMode,
      },
      floating,
      new Map([["out", reported]]),
    );
  }

  const good = { ...info, path, ca };
  const otherPath = makeFixedOutputPath(defaultStoreDir, "other", ca);
  const lies: readonly (readonly [string, ValidPathInfo])[] = [
    ["without an address", { ...good, ca: undefined }],
    [
      "with the address of other contents",
      { ...good, ca: { ...ca, hash: hashBytes("sha256", nar.subarray(1)) } },
    ],
    ["with a reference that its address does not have", { ...good, references: [out.info.path] }],
    ["with the name of something else", { ...good, path: otherPath }],
  ];

  test.each(["from-builders", "through-runner"] as const)("is taken with its address, %s", async (mode) => {
    if (mode === "from-builders") await cache.uploadPath(good, narsOf({ nar, info: good }));
    expect(await checkFloating(good, mode)).toEqual(mode === "from-builders" ? [] : [path]);
  });

  test.each(lies)("is refused %s, in our store", async (_, lie) => {
    await expect(checkFloating(lie, "through-runner")).rejects.toMatchObject({ code: "output-mismatch" });
  });

  test.each(lies)("is refused %s, in the bucket", async (_, lie) => {
    await cache.uploadPath(lie, narsOf({ nar, info: lie }));
    await expect(checkFloating(lie, "from-builders")).rejects.toMatchObject({ code: "output-mismatch" });
  });
});
