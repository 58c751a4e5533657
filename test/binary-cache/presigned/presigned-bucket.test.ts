// Uploads by builders with URLs that the cache signs, played through with plain HTTP requests.
import { randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { isPresignedCache, openBinaryCache, type PresignedCache } from "../../../lib/binary-cache/index.js";
import { compress } from "../../../lib/compression/index.js";
import { PublicKey, verifySignature } from "../../../lib/nix/cache/signer.js";
import { hashBytes, hashesEqual } from "../../../lib/nix/path/hash.js";
import { defaultStoreDir } from "../../../lib/nix/path/store-path.js";
import { type S3Server, startS3Server } from "../../support/s3-server/index.js";
import { build, only, put, request } from "../presigned-builder.js";
import { bytesOf, file, narsOf, publicKey, sample, secretKey } from "../samples.js";

let server: S3Server;
let scratch: string;
beforeEach(async () => {
  server = await startS3Server();
  scratch = await mkdtemp(join(tmpdir(), "presigned-"));
  await writeFile(join(scratch, "key"), secretKey);
});
afterEach(async () => {
  await server.close();
  await rm(scratch, { recursive: true });
});

async function open(parameters: Record<string, string> = {}): Promise<PresignedCache> {
  const all = { "secret-key": join(scratch, "key"), compression: "zstd", ...parameters };
  const cache = await openBinaryCache(server.uri("cache", all), { credentials: server.keys });
  if (!isPresignedCache(cache)) throw new Error("no presigned cache");
  return cache;
}

const small = sample("a", file("hello world\n"));

describe("presigned uploads", () => {
  it("several parts, listing and debug links: published with our signature", async () => {
    const cache = await open({ "write-nar-listing": "1", "write-debug-info": "1" });
    const large = sample("b", file(randomBytes(11 << 20)));
    const urls = only(await cache.presigned.urls("job", [request(large, ["ab01", "ab02"])]));
    expect(urls.debugInfoUploads.map(({ path }) => path)).toEqual(["debuginfo/ab01", "debuginfo/ab02"]);
    expect(urls.narUpload).toMatchObject({ compression: "zstd", compressionLevel: 0 });
    const upload = await build(urls, large);
    expect(upload.multipart.parts).toHaveLength(2);
    // The listing is not there yet.
    await expect(cache.presigned.complete("job", upload)).rejects.toMatchObject({ code: "missing" });
    await put(urls.lsUpload?.url ?? "", Buffer.from('{"version":1,"root":{"type":"regular","size":1}}'));
    await cache.presigned.complete("job", upload);
    const info = await cache.narInfo(large.info.path);
    if (info === undefined) throw new Error("no narinfo");
    expect(info.signatures).toHaveLength(1);
    expect(verifySignature(defaultStoreDir, info, [PublicKey.parse(publicKey)])).toBe(true);
    expect((await bytesOf(cache.openNar(info))).equals(large.nar)).toBe(true);
    expect(server.uploads.size).toBe(0);
    // The answer was lost and the builder asks again; and later there is nothing to sign.
    await cache.presigned.complete("job", upload);
    expect(await cache.presigned.urls("job", [request(large)])).toEqual([]);
    cache.close();
  });

  it("with verify-uploads what is in the bucket is read before it is signed", async () => {
    const cache = await open({ "verify-uploads": "true" });
    // As long as promised, but not what was promised.
    const other = sample("b", file("hello, word\n"));
    const lie = await build(only(await cache.presigned.urls("liar", [request(small)])), {
      info: small.info,
      nar: other.nar,
    });
    expect(other.nar.length).toBe(small.nar.length);
    await expect(cache.presigned.complete("liar", lie)).rejects.toMatchObject({ code: "mismatch" });
    await cache.presigned.abandon("liar");
    expect(await cache.narInfo(small.info.path)).toBeUndefined();

    const truth = await build(only(await cache.presigned.urls("honest", [request(small)])), small);
    await cache.presigned.complete("honest", truth);
    const info = await cache.narInfo(small.info.path);
    if (info === undefined) throw new Error("no narinfo");
    expect((await bytesOf(cache.openNar(info))).equals(small.nar)).toBe(true);
    cache.close();
  });

  it("only what was asked for can be completed", async () => {
    const cache = await open();
    const urls = only(await cache.presigned.urls("job", [request(small)]));
    const upload = await build(urls, small);
    const other = sample("b", file("something else"));
    const { narInfo, multipart } = upload;
    for (const bad of [
      { ...upload, narInfo: { ...narInfo, narSize: 1 } },
      { ...upload, narInfo: { ...narInfo, narHash: other.info.narHash } },
      { ...upload, narInfo: { ...narInfo, url: "nar/other.nar" } },
      { ...upload, narInfo: { ...narInfo, path: other.info.path } },
      { ...upload, multipart: { ...multipart, uploadId: "guess" } },
    ]) {
      await expect(cache.presigned.complete("job", bad)).rejects.toMatchObject({ code: /mismatch|missing/ });
    }
    await expect(cache.presigned.complete("other job", upload)).rejects.toMatchObject({ code: "missing" });
    await expect(
      cache.presigned.complete("job", { ...upload, narInfo: { ...narInfo, fileSize: 3 } }),
    ).rejects.toMatchObject({ code: "mismatch" });
    expect(await cache.narInfo(small.info.path)).toBeUndefined();
    cache.close();
  });

  it("more parts, for the owner of the upload only", async () => {
    const cache = await open();
    const urls = only(await cache.presigned.urls("job", [request(small)]));
    const uploadId = urls.narUpload.multipart?.uploadId ?? "";
    const more = { objectKey: urls.narUrl, uploadId, startPartNumber: 4, numParts: 2 };
    const parts = await cache.presigned.partUrls("job", more);
    expect(parts.map(({ partNumber }) => partNumber)).toEqual([4, 5]);
    expect(await put(parts[0]?.url ?? "", Buffer.from("x"))).not.toBe("");
    await expect(cache.presigned.partUrls("thief", more)).rejects.toMatchObject({ code: "missing" });
    cache.close();
  });

  it("when someone else was first, the stored bytes are measured and checked", async () => {
    const cache = await open();
    const urls = only(await cache.presigned.urls("job", [request(small)]));
    const upload = await build(urls, small);
    const nars = narsOf(small);
    const stored = await bytesOf(compress(nars(small.info.path), { method: "zstd", level: 19 }));
    await cache.objects.put(urls.narUrl, stored, { contentType: "application/x-nix-nar" });
    await cache.presigned.complete("job", upload);
    const info = await cache.narInfo(small.info.path);
    expect(info?.fileSize).toBe(stored.length);
    expect(info?.fileHash !== undefined && hashesEqual(info.fileHash, hashBytes("sha256", stored))).toBe(
      true,
    );
    expect(server.uploads.size).toBe(0);
    cache.close();
  });

  it("what is given up leaves no parts behind", async () => {
    const cache = await open();
    await cache.presigned.urls("job", [request(small)]);
    await cache.presigned.urls("job", [request(small)]);
    expect(server.uploads.size).toBe(2);
    await cache.presigned.abandon("job");
    expect(server.uploads.size).toBe(0);
    // Of an earlier process.
    await (await open()).presigned.urls("old", [request(small)]);
    const kept = only(await cache.presigned.urls("new", [request(small)])).narUpload.multipart?.uploadId;
    expect(await cache.presigned.abortStale(Date.now() + 1000)).toBe(1);
    expect([...server.uploads.keys()]).toEqual([kept]);
    cache.close();
  });
});
