// From one cache into another: what is copied by whom, in what order, and with whose signatures.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  type BinaryCache,
  openBinaryCache,
  parseCacheUri,
  S3Uploader,
} from "../../../lib/binary-cache/index.js";
import { compress } from "../../../lib/compression/index.js";
import { PublicKey, verifySignature } from "../../../lib/nix/cache/signer.js";
import { defaultStoreDir, parseStorePath } from "../../../lib/nix/path/store-path.js";
import { type S3Server, startS3Server } from "../../support/s3-server/index.js";
import { bytesOf, file, folder, narsOf, publicKey, sample, secretKey } from "../samples.js";

// Throw-away keys: seed of 32 bytes 42.
const otherSecret =
  "alpha.example.org-1:QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkIhUvjRm3kdJEUyQuFfLqtst8/6e2pe0wCXlg4GmIHbEg==";

const buildId = "abcdef0123456789abcdef0123456789abcdef01";
const lower = sample("a", file("lower\n"));
const middle = sample("b", file("middle\n"), [lower.info.path]);
const upper = sample(
  "c",
  folder({
    lib: folder({
      debug: folder({
        ".build-id": folder({ ab: folder({ [`${buildId.slice(2)}.debug`]: file("symbols") }) }),
      }),
    }),
  }),
  [middle.info.path, parseStorePath(`${"c".repeat(32)}-sample-c`)],
);
const closure = [lower, middle, upper];
const drv = parseStorePath("dddddddddddddddddddddddddddddddd-sample.drv");

let server: S3Server;
let scratch: string;
beforeEach(async () => {
  server = await startS3Server({ buckets: ["overflow", "main"] });
  scratch = await mkdtemp(join(tmpdir(), "copy-"));
  await writeFile(join(scratch, "overflow-key"), otherSecret);
  await writeFile(join(scratch, "main-key"), secretKey);
});
afterEach(async () => {
  await server.close();
  await rm(scratch, { recursive: true });
});

const parameters = {
  compression: "zstd",
  "write-nar-listing": "1",
  "write-debug-info": "1",
  "log-compression": "zstd",
  "ls-compression": "br",
};

function openOverflow(): Promise<BinaryCache> {
  const all = { ...parameters, "secret-key": join(scratch, "overflow-key") };
  return openBinaryCache(server.uri("overflow", all), { credentials: server.keys });
}

function openMain(): Promise<BinaryCache> {
  // Another compression than that of the files that are copied.
  const all = { ...parameters, compression: "xz", "secret-key": join(scratch, "main-key") };
  return openBinaryCache(server.uri("main", all), { credentials: server.keys });
}

async function filled(): Promise<BinaryCache> {
  const overflow = await openOverflow();
  await overflow.uploadClosure(
    closure.map(({ info }) => info),
    narsOf(...closure),
  );
  return overflow;
}

async function expectWhole(cache: BinaryCache): Promise<void> {
  for (const { info, nar } of closure) {
    const narInfo = await cache.narInfo(info.path);
    if (narInfo === undefined) throw new Error(`${info.path} is not there`);
    expect(narInfo.signatures).toHaveLength(1);
    expect(verifySignature(defaultStoreDir, narInfo, [PublicKey.parse(publicKey)])).toBe(true);
    expect(narInfo.references).toEqual(info.references);
    expect((await bytesOf(cache.openNar(narInfo))).equals(nar)).toBe(true);
    expect((await cache.objects.head(narInfo.url))?.size).toBe(narInfo.fileSize);
    expect(await cache.listing(info.path)).toBeDefined();
  }
}

describe("a closure that is copied", () => {
  it("between buckets of one server never passes through us, and is signed with the key of its new place", async () => {
    const [overflow, main] = [await filled(), await openMain()];
    server.requests.length = 0;
    const { copied } = await main.copyClosure(overflow, [upper.info.path]);
    expect(copied).toHaveLength(3);
    const nars = server.requests.filter(({ key }) => key.startsWith("nar/"));
    expect(nars.filter(({ method }) => method === "GET")).toEqual([]);
    expect(nars.filter(({ headers }) => headers["x-amz-copy-source"] !== undefined)).toHaveLength(3);
    // References first, and each narinfo after all that belongs to its path.
    const written = server.requests.filter(({ method, bucket }) => method === "PUT" && bucket === "main");
    const order = written.map(({ key }) => key);
    const at = (key: string): number => {
      expect(order).toContain(key);
      return order.indexOf(key);
    };
    const narInfos = closure.map(({ info }) => at(`${info.path.slice(0, 32)}.narinfo`));
    expect(narInfos).toEqual([...narInfos].sort((a, b) => a - b));
    for (const [index, { info }] of closure.entries()) {
      expect(at(`${info.path.slice(0, 32)}.ls`)).toBeLessThan(narInfos[index] ?? 0);
      const url = (await main.narInfo(info.path))?.url ?? "";
      expect(at(url)).toBeLessThan(narInfos[index] ?? 0);
    }
    expect(at(`debuginfo/${buildId}`)).toBeLessThan(narInfos[2] ?? 0);
    await expectWhole(main);
    expect((await main.copyClosure(overflow, [upper.info.path])).copied).toEqual([]);
  });

  it("into another kind of place is sent through us", async () => {
    const overflow = await filled();
    const uri = `file://${join(scratch, "cache")}?write-nar-listing=1&secret-key=${join(scratch, "main-key")}`;
    const target = await openBinaryCache(uri);
    expect((await target.copyClosure(overflow, [upper.info.path])).copied).toHaveLength(3);
    await expectWhole(target);
  });

  it("is sent through us when the server refuses to copy", async () => {
    const [overflow, main] = [await filled(), await openMain()];
    server.fault = ({ headers }) =>
      headers["x-amz-copy-source"] === undefined ? undefined : { status: 403, code: "AccessDenied" };
    await main.copyClosure(overflow, [upper.info.path]);
    await expectWhole(main);
  });

  it("is sent through us when the server only says that it has copied", async () => {
    const [overflow, main] = [await filled(), await openMain()];
    server.fault = ({ headers }) =>
      headers["x-amz-copy-source"] === undefined ? undefined : { pretend: "CopyObjectResult" };
    await main.copyClosure(overflow, [upper.info.path]);
    server.fault = undefined;
    await expectWhole(main);
  });

  it("stops at what is there, and takes a NAR that is there as it is", async () => {
    const [overflow, main] = [await filled(), await openMain()];
    await main.uploadPath(lower.info, narsOf(lower));
    const { url = "" } = (await overflow.narInfo(middle.info.path)) ?? {};
    const packed = await bytesOf(compress(narsOf(middle)(middle.info.path), { method: "zstd", level: 19 }));
    await main.objects.put(url, Buffer.concat([packed, emptyFrame]), {
      contentType: "application/x-nix-nar",
    });
    const { copied } = await main.copyClosure(overflow, [upper.info.path]);
    expect([...copied].sort()).toEqual([middle.info.path, upper.info.path]);
    expect((await main.narInfo(middle.info.path))?.fileSize).toBe(packed.length + emptyFrame.length);
    await expectWhole(main);
  });

  it("replaces a NAR that is there and damaged", async () => {
    const [overflow, main] = [await filled(), await openMain()];
    const { url = "" } = (await overflow.narInfo(middle.info.path)) ?? {};
    await main.objects.put(url, Buffer.from("rubbish"), { contentType: "application/x-nix-nar" });
    await main.copyClosure(overflow, [upper.info.path]);
    await expectWhole(main);
  });

  it("is not published when a part of it is in neither cache", async () => {
    const [overflow, main] = [await filled(), await openMain()];
    server.objects.get("overflow")?.delete(`${"a".repeat(32)}.narinfo`);
    const copy = main.copyClosure(overflow, [upper.info.path]);
    await expect(copy).rejects.toMatchObject({ code: "missing" });
    expect([...(server.objects.get("main")?.keys() ?? [])]).toEqual(["nix-cache-info"]);
  });

  it("is not signed when it is not signed by the cache it comes from, or is not of the promised size", async () => {
    const [overflow, main] = [await filled(), await openMain()];
    const objects = server.objects.get("overflow");
    const key = `${"a".repeat(32)}.narinfo`;
    const object = objects?.get(key);
    if (objects === undefined || object === undefined) throw new Error("no narinfo");
    const forged = object.body
      .toString()
      .replace(/^Sig: .*$/m, `Sig: alpha.example.org-1:${"A".repeat(86)}==`);
    objects.set(key, { ...object, body: Buffer.from(forged) });
    await expect(main.copyClosure(overflow, [lower.info.path])).rejects.toThrow("not signed");
    objects.set(key, object);
    const { url = "" } = (await overflow.narInfo(lower.info.path)) ?? {};
    const nar = objects.get(url);
    if (nar === undefined) throw new Error("no NAR");
    objects.set(url, { ...nar, body: nar.body.subarray(1) });
    await expect(main.copyClosure(overflow, [lower.info.path])).rejects.toMatchObject({ code: "mismatch" });
    expect(await main.narInfo(lower.info.path)).toBeUndefined();
  });
});

it("NARs too large for one request are copied in ranges", async () => {
  const nar = Buffer.alloc(12 << 20, "nar");
  const copyLimits = { single: 5 << 20, part: 5 << 20 };
  const open = (bucket: string): S3Uploader =>
    new S3Uploader(parseCacheUri(server.uri(bucket)).settings, { credentials: server.keys, copyLimits });
  const [from, to] = [open("overflow"), open("main")];
  await from.put("nar/large.nar", nar, { contentType: "application/x-nix-nar" });
  expect(await to.takeOver(from, "nar/large.nar")).toBe(true);
  const stored = server.objects.get("main")?.get("nar/large.nar");
  expect(stored?.body.equals(nar)).toBe(true);
  expect(stored).toMatchObject({ contentType: "application/x-nix-nar", etag: /-3$/ });
  server.fault = ({ query }) =>
    query.get("partNumber") === "2" ? { status: 400, code: "InvalidRequest" } : undefined;
  await expect(to.takeOver(from, "nar/large.nar")).rejects.toMatchObject({ code: "unavailable" });
  expect(server.uploads.size).toBe(0);
  from.close();
  to.close();
});

it("a log is read back as it was written", async () => {
  const overflow = await openOverflow();
  await overflow.putLog(drv, narsOf(lower)(lower.info.path));
  expect(server.objects.get("overflow")?.get(`log/${drv}`)?.contentEncoding).toBe("zstd");
  const log = await overflow.openLog(drv);
  if (log === undefined) throw new Error("no log");
  expect((await bytesOf(log)).equals(lower.nar)).toBe(true);
  expect(
    await overflow.openLog(parseStorePath("dddddddddddddddddddddddddddddddd-other.drv")),
  ).toBeUndefined();
});

/** A zstd frame without contents: the file is another one, what is in it is the same. */
const emptyFrame = Buffer.from("28b52ffd2000010000", "hex");
