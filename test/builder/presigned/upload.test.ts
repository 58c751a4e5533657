// The builder's uploads against what answers them in earnest: the runner's side of presigned uploads, and an S3 server.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import {
  BinaryCache,
  isPresignedCache,
  openBinaryCache,
  type PresignedCache,
} from "../../../lib/binary-cache/index.js";
import { RunnerLink } from "../../../lib/builder/connection/runner-link.js";
import { newCounters } from "../../../lib/builder/counters.js";
import { PresignedUploader } from "../../../lib/builder/presigned/upload.js";
import type { UploadRetries } from "../../../lib/builder/presigned/upload-retries.js";
import { silentLogger } from "../../../lib/log.js";
import type { StorePath } from "../../../lib/nix/path/store-path.js";
import type { Store } from "../../../lib/nix/store/store.js";
import { PresignedUploads } from "../../../lib/runner/outputs/presigned/presigned-uploads.js";
import type { Attempt } from "../../../lib/runner/state/attempts.js";
import { attemptId, machineId } from "../../../lib/scheduler/ids.js";
import { bytesOf, file, narsOf, type Sample, sample, secretKey } from "../../binary-cache/samples.js";
import { FakeRunner } from "../../support/fake-runner.js";
import { type Fault, type S3Request, type S3Server, startS3Server } from "../../support/s3-server/index.js";

const buildId = "6d9ad3a5-53a5-4b6f-8b28-2b3a4f3b7c11";
const machine = "0c9a8b0e-1b1f-4a26-9b7c-7a1b7b1e0a11";
const retries: UploadRetries = { totalMs: 60_000, backoff: { firstMs: 50, longestMs: 200 } };

let server: S3Server;
let scratch: string;
let cache: PresignedCache;
beforeEach(async () => {
  server = await startS3Server();
  scratch = await mkdtemp(join(tmpdir(), "upload-"));
  await writeFile(join(scratch, "key"), secretKey);
  cache = await openCache();
});
afterEach(async () => {
  cache.close();
  await server.close();
  await rm(scratch, { recursive: true });
});

/** Its URLs are good for so many seconds, also those that it makes later. */
interface Expiry {
  seconds: number;
}

async function openCache(expiry: Expiry = { seconds: 3600 }): Promise<PresignedCache> {
  const parameters = { "secret-key": join(scratch, "key"), compression: "zstd", "write-nar-listing": "1" };
  const opened = await openBinaryCache(server.uri("cache", parameters), { credentials: server.keys });
  if (!isPresignedCache(opened)) throw new Error("no presigned cache");
  const { uri, objects, presigned, storeDir, signers } = opened;
  const settings = {
    ...opened.settings,
    get presignedUrlExpiry() {
      return expiry.seconds;
    },
  };
  const cache = new BinaryCache({ uri, objects, bucket: presigned.bucket, storeDir, signers, settings });
  if (!isPresignedCache(cache)) throw new Error("no presigned cache");
  return cache;
}

/** A runner that has no memory yet of what was signed for the attempt. */
function newRunner(): PresignedUploads {
  return new PresignedUploads({
    uploads: { presignedCache: () => cache, publishedInfos: async function* () {} },
    // What is not an output is an input, which came from the runner's store.
    store: { storeDir: cache.storeDir, queryPathInfos: async () => new Map([[lower.info.path, lower.info]]) },
  });
}

const attempt = (): Attempt => {
  const facts = { outputs: new Map([["out", upper.info.path]]) };
  return { id: attemptId(buildId), machine: machineId(machine), facts } as unknown as Attempt;
};

interface UploadOptions {
  readonly runner?: () => PresignedUploads;
  readonly openNar?: (path: StorePath) => AsyncGenerator<Uint8Array>;
}

async function upload(samples: readonly Sample[], options: UploadOptions = {}): Promise<void> {
  const usual = newRunner();
  const { runner = () => usual, openNar = narsOf(...samples) } = options;
  const link = new RunnerLink();
  const own = attempt();
  link.attach(
    {
      ...new FakeRunner().connect(),
      requestPresignedUrls: async (request) => runner().mint(own, request.requests),
      requestMultipartParts: async (request) => runner().moreParts(own, request),
      notifyPresignedUploadComplete: async (complete) => runner().complete(own, complete),
    },
    false,
  );
  const uploader = new PresignedUploader({
    store: { realStoreDir: scratch, narFromPath: openNar } as Partial<Store> as Store,
    link,
    counters: newCounters(),
    logger: silentLogger,
    spoolDirectory: scratch,
    retries,
  });
  await uploader.upload(
    samples.map(({ info }) => info),
    { buildId: () => buildId, machineId: machine, debugInfo: false, signal: new AbortController().signal },
  );
  // Nothing is published before the report.
  for (const { info } of samples) expect(await cache.narInfo(info.path)).toBeUndefined();
  await runner().release(own, new Map());
}

async function expectPublished(samples: readonly Sample[]): Promise<void> {
  for (const { info, nar } of samples) {
    const narInfo = await cache.narInfo(info.path);
    if (narInfo === undefined) throw new Error(`${info.path} is not published`);
    expect((await bytesOf(cache.openNar(narInfo))).equals(nar)).toBe(true);
    expect(await cache.listing(info.path)).toBeDefined();
  }
  // Nothing is left half done, whatever was begun on the way.
  expect(server.uploads.size).toBe(0);
}

const lower = sample("a", file("lower\n"));
const upper = sample("b", file("upper\n"), [lower.info.path]);

test("URLs that expire while the NAR is read are replaced", async () => {
  const expiry = { seconds: 60 };
  cache = await openCache(expiry);
  const read = narsOf(lower);
  await upload([lower], {
    openNar: async function* (path) {
      server.clockAheadMs = 61_000;
      expiry.seconds = 3600;
      yield* read(path);
    },
  });
  const refused = new Set(server.refusals.map(({ key }) => key));
  expect([...refused].sort()).toEqual([`${"a".repeat(32)}.ls`, (await cache.narInfo(lower.info.path))?.url]);
  await expectPublished([lower]);
});

test("a bucket that is out of order for a while delays an upload, whichever request it hits", async () => {
  // What the runner sends is tried five times by the S3 client itself.
  const outage = (match: (request: S3Request) => boolean, length: number) => {
    let left = length;
    return (request: S3Request): Fault | undefined =>
      match(request) && left-- > 0 ? { status: 503, code: "ServiceUnavailable" } : undefined;
  };
  const presigned = ({ query }: S3Request): boolean => query.has("X-Amz-Signature");
  const faults = [
    outage(({ method, query }) => method === "POST" && query.has("uploads"), 6),
    outage((request) => presigned(request) && request.key.endsWith(".ls"), 7),
    outage((request) => presigned(request) && request.key.startsWith("nar/"), 9),
    outage(({ method, query }) => method === "POST" && query.has("uploadId"), 6),
  ];
  server.fault = (request) => faults.map((fault) => fault(request)).find((found) => found !== undefined);
  await upload([lower, upper]);
  await expectPublished([lower, upper]);
});

test("an upload that the bucket has swept is begun again", async () => {
  let swept = false;
  server.fault = ({ query, key }) => {
    if (swept || !query.has("partNumber") || !key.startsWith("nar/")) return undefined;
    swept = true;
    (server.uploads as Map<string, unknown>).delete(query.get("uploadId") ?? "");
    return undefined;
  };
  await upload([lower]);
  expect(swept).toBe(true);
  await expectPublished([lower]);
});

test("an upload that a new runner does not know is begun again", async () => {
  let runner = newRunner();
  let restarted = false;
  server.fault = ({ query }) => {
    if (restarted || !query.has("partNumber")) return undefined;
    restarted = true;
    // Another process: other runner, other cache object.
    const before = cache;
    void openCache().then((next) => {
      cache = next;
      runner = newRunner();
      before.close();
    });
    return { delayMs: 500 };
  };
  await upload([lower], { runner: () => runner });
  expect(restarted).toBe(true);
  expect(await cache.narInfo(lower.info.path)).toBeDefined();
  // What the first runner had begun is for its successor to sweep.
  expect(await cache.presigned.abortStale(Date.now() + 1000)).toBe(1);
  await expectPublished([lower]);
});
