// The binary cache against a real S3 server; `npm run test:s3` starts one and says where it is.
import { randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CreateBucketCommand, S3Client } from "@aws-sdk/client-s3";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type BinaryCache, openBinaryCache } from "../../lib/binary-cache/index.js";
import { compress } from "../../lib/compression/index.js";
import { pathFingerprint, Signer } from "../../lib/nix/cache/signer.js";
import { hashBytes } from "../../lib/nix/path/hash.js";
import { defaultStoreDir } from "../../lib/nix/path/store-path.js";
import { bytesOf, file, folder, narsOf, sample, secretKey } from "../binary-cache/samples.js";

// This test makes a client of its own; what the SDK says of old versions of Node is not part of the results.
process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED = "true";

const bucket = "cache";
const endpoint = process.env.S3_TEST_ENDPOINT ?? "";
const credentials = {
  accessKeyId: process.env.S3_TEST_KEY ?? "",
  secretAccessKey: process.env.S3_TEST_SECRET ?? "",
};

let scratch = "";
let cache: BinaryCache;

beforeAll(async () => {
  expect(endpoint, "started by npm run test:s3").not.toBe("");
  scratch = await mkdtemp(join(tmpdir(), "s3-"));
  await writeFile(join(scratch, "key"), secretKey);
  const client = new S3Client({ endpoint, credentials, region: "us-east-1", forcePathStyle: true });
  for (const name of [bucket, "second"]) await client.send(new CreateBucketCommand({ Bucket: name }));
  client.destroy();
  const where = new URLSearchParams({ endpoint, scheme: "http", region: "us-east-1" });
  cache = await openBinaryCache(
    `s3://${bucket}?${where.toString()}&compression=zstd&write-nar-listing=true&secret-key=${join(scratch, "key")}`,
    { credentials },
  );
});

afterAll(async () => {
  cache.close();
  await rm(scratch, { recursive: true, force: true });
});

const leaf = sample("a", file("leaf"));
const top = sample("b", folder({ bin: folder({ tool: file("tool") }) }), [leaf.info.path]);

test("a closure goes in and comes out as it was, signed", async () => {
  const nars = narsOf(leaf, top);
  expect((await cache.uploadClosure([leaf.info, top.info], nars)).uploaded).toEqual([
    leaf.info.path,
    top.info.path,
  ]);
  const signer = Signer.parse(secretKey);
  for (const { info, nar } of [leaf, top]) {
    const found = await cache.narInfo(info.path);
    expect(found?.signatures).toEqual([signer.sign(pathFingerprint(defaultStoreDir, info))]);
    if (found === undefined) continue;
    expect((await bytesOf(cache.openNar(found))).equals(nar)).toBe(true);
    expect(await cache.listing(info.path)).toBeDefined();
  }
  expect((await cache.uploadClosure([leaf.info, top.info], nars)).uploaded).toEqual([]);
});

test("what is there and what is not is told apart", async () => {
  const absent = sample("c", file("absent")).info.path;
  expect(await cache.hasNarInfos([leaf.info.path, absent])).toEqual(
    new Map([
      [leaf.info.path, "present"],
      [absent, "absent"],
    ]),
  );
});

test("an object of many parts", async () => {
  const large = sample("d", file(Buffer.alloc(20 << 20, "large and dull ")));
  await cache.uploadPath(large.info, narsOf(large));
  const found = await cache.narInfo(large.info.path);
  if (found === undefined) throw new Error("not there");
  expect(hashBytes("sha256", await bytesOf(cache.openNar(found)))).toEqual(large.info.narHash);
});

test("a presigned upload in parts is accepted by the server and published by us", async () => {
  if (cache.presigned === undefined) throw new Error("not a bucket");
  const one = sample("f", file(Buffer.alloc(1 << 20, "presigned ")));
  const request = {
    path: one.info.path,
    narHash: one.info.narHash,
    narSize: one.info.narSize,
    debugInfoBuildIds: [],
  };
  const [urls] = await cache.presigned.urls("attempt", [request]);
  const upload = urls?.narUpload;
  const part = upload?.multipart?.parts[0];
  if (urls === undefined || upload?.multipart === undefined || part === undefined) throw new Error("no URL");
  async function* nar(): AsyncGenerator<Uint8Array> {
    yield one.nar;
  }
  const body = await bytesOf(compress(nar(), { method: "zstd" }));
  const sent = await fetch(part.url, { method: "PUT", body: new Uint8Array(body) });
  expect(sent.status).toBe(200);
  const ls = await fetch(urls.lsUpload?.url ?? "", {
    method: "PUT",
    body: '{"version":1,"root":{"type":"regular","size":1}}',
  });
  expect(ls.status).toBe(200);
  await cache.presigned.complete("attempt", {
    narInfo: {
      ...one.info,
      url: urls.narUrl,
      compression: "zstd",
      fileHash: hashBytes("sha256", body),
      fileSize: body.length,
    },
    multipart: {
      objectKey: upload.path,
      uploadId: upload.multipart.uploadId,
      parts: [{ partNumber: part.partNumber, etag: sent.headers.get("etag") ?? "" }],
    },
    narAlreadyPresent: false,
  });
  const found = await cache.narInfo(one.info.path);
  if (found === undefined) throw new Error("not published");
  expect((await bytesOf(cache.openNar(found))).equals(one.nar)).toBe(true);
});

test("with a wrong key nothing is written, and the error says why", async () => {
  const where = new URLSearchParams({ endpoint, scheme: "http", region: "us-east-1" });
  const stranger = await openBinaryCache(`s3://${bucket}?${where.toString()}`, {
    credentials: { ...credentials, secretAccessKey: "wrong" },
  });
  const one = sample("g", file("refused"));
  await expect(stranger.uploadPath(one.info, narsOf(one))).rejects.toMatchObject({ code: "denied" });
  stranger.close();
  expect(await cache.narInfo(one.info.path)).toBeUndefined();
});

// This server says that it has copied objects and has not. (Nor does it give uploads in parts back as they were, so the
// NARs are small.)
test("a closure is copied from bucket to bucket, whatever the server can do by itself", async () => {
  const where = new URLSearchParams({ endpoint, scheme: "http", region: "us-east-1" });
  const uri = `s3://second?${where.toString()}&compression=zstd&write-nar-listing=true&secret-key=${join(scratch, "key")}`;
  const second = await openBinaryCache(uri, { credentials });
  const noise = sample("h", file(randomBytes(1 << 20)), [leaf.info.path]);
  await cache.uploadClosure([leaf.info, noise.info], narsOf(leaf, noise));
  expect((await second.copyClosure(cache, [noise.info.path])).copied).toEqual([
    leaf.info.path,
    noise.info.path,
  ]);
  for (const { info, nar } of [leaf, noise]) {
    const found = await second.narInfo(info.path);
    if (found === undefined) throw new Error("no narinfo");
    expect((await bytesOf(second.openNar(found))).equals(nar)).toBe(true);
    expect(await second.listing(info.path)).toBeDefined();
  }
  second.close();
});
