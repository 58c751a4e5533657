// What ends up in a cache, and what does not, in a folder and in a bucket.
import { randomBytes } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { PresenceCache } from "../../../lib/binary-cache/cache/presence-cache.js";
import {
  type BinaryCache,
  type BinaryCacheError,
  openBinaryCache,
  parseCacheUri,
  partPlan,
} from "../../../lib/binary-cache/index.js";
import { decompress } from "../../../lib/compression/index.js";
import { createLogger } from "../../../lib/log.js";
import { PublicKey, verifySignature } from "../../../lib/nix/cache/signer.js";
import { defaultStoreDir, parseStoreDir, parseStorePath } from "../../../lib/nix/path/store-path.js";
import { type S3Server, startS3Server } from "../../support/s3-server/index.js";
import { bytesOf, file, folder, lentNarsOf, narsOf, publicKey, sample, secretKey } from "../samples.js";

let scratch: string;
let keyFile: string;
let server: S3Server;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "cache-test-"));
  keyFile = join(scratch, "key");
  await writeFile(keyFile, `${secretKey}\n`);
});
afterAll(() => rm(scratch, { recursive: true }));
beforeEach(async () => {
  server = await startS3Server();
});
afterEach(() => server.close());

const debugFile = "cdef0123456789abcdef0123456789abcdef01.debug";
const leaf = sample("a", file("hello world\n"));
const tree = sample(
  "b",
  folder({
    bin: folder({ hi: file("#!/bin/sh\n") }),
    big: file(randomBytes(300_000)),
    lib: folder({ debug: folder({ ".build-id": folder({ ab: folder({ [debugFile]: file("ELF!") }) }) }) }),
  }),
  [leaf.info.path],
);
const both = narsOf(leaf, tree);

/** What any kind of cache holds: key to bytes. */
async function contents(kind: "file" | "s3", place: string): Promise<Map<string, Buffer>> {
  if (kind === "s3")
    return new Map([...(server.objects.get("cache") ?? [])].map(([key, { body }]) => [key, body]));
  const found = new Map<string, Buffer>();
  for (const entry of await readdir(place, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    found.set(path.slice(place.length + 1), await readFile(path));
  }
  return found;
}

for (const kind of ["file", "s3"] as const) {
  describe(`a cache on ${kind}`, () => {
    let place: string;
    const open = async (parameters: Record<string, string> = {}): Promise<BinaryCache> => {
      const all = { "secret-key": keyFile, ...parameters };
      const uri =
        kind === "file" ? `file://${place}?${String(new URLSearchParams(all))}` : server.uri("cache", all);
      return openBinaryCache(uri, { credentials: server.keys });
    };
    beforeEach(async () => {
      place = await mkdtemp(join(scratch, "folder-"));
    });

    for (const compression of ["none", "xz", "zstd", "br", "bzip2"]) {
      it(`${compression}: everything can be read back`, async () => {
        const cache = await open({ compression, "write-nar-listing": "1", "index-debug-info": "1" });
        const result = await cache.uploadClosure([leaf.info, tree.info], both);
        expect(result.uploaded).toEqual([leaf.info.path, tree.info.path]);
        const info = await cache.narInfo(tree.info.path);
        if (info === undefined) throw new Error("no narinfo");
        expect(info).toMatchObject({ compression, narSize: tree.nar.length, references: [leaf.info.path] });
        expect(verifySignature(defaultStoreDir, info, [PublicKey.parse(publicKey)])).toBe(true);
        expect((await bytesOf(cache.openNar(info))).equals(tree.nar)).toBe(true);
        const objects = await contents(kind, place);
        expect(objects.get(info.url)?.length).toBe(info.fileSize);
        expect(await cache.listing(tree.info.path)).toMatchObject({ type: "directory" });
        const link = objects.get("debuginfo/abcdef0123456789abcdef0123456789abcdef01")?.toString();
        expect(link).toBe(`{"archive":"../${info.url}","member":"lib/debug/.build-id/ab/${debugFile}"}`);
        expect(objects.get("nix-cache-info")?.toString()).toBe("StoreDir: /nix/store\n");
        expect(await cache.uploadPath(tree.info, both)).toBe("present");
        cache.close();
      });

      it(`${compression}: a NAR that is lent is stored whole`, async () => {
        const cache = await open({ compression, "write-nar-listing": "1" });
        await cache.uploadClosure([leaf.info, tree.info], lentNarsOf(leaf, tree));
        const info = await cache.narInfo(tree.info.path);
        if (info === undefined) throw new Error("no narinfo");
        expect((await bytesOf(cache.openNar(info))).equals(tree.nar)).toBe(true);
        expect(await cache.listing(tree.info.path)).toMatchObject({ type: "directory" });
        cache.close();
      });
    }

    it("never signs what is not what the store promised", async () => {
      const cache = await open({ compression: "zstd" });
      const bent = Buffer.from(tree.nar);
      bent[bent.length - 1_000] = (bent[bent.length - 1_000] ?? 0) ^ 1;
      for (const nar of [bent, tree.nar.subarray(0, -8), Buffer.concat([tree.nar, Buffer.alloc(8)])]) {
        const upload = cache.uploadPath(tree.info, narsOf({ info: tree.info, nar }));
        await expect(upload).rejects.toMatchObject({ code: "mismatch" });
      }
      expect([...(await contents(kind, place)).keys()]).toEqual(["nix-cache-info"]);
      cache.close();
    });

    it("takes over a sound NAR that is there, and replaces a damaged one", async () => {
      const cache = await open({ compression: "zstd", "compression-level": "19" });
      await cache.uploadPath(leaf.info, both);
      const twin = { nar: leaf.nar, info: { ...leaf.info, path: parseStorePath(`${"c".repeat(32)}-twin`) } };
      // The same contents under another name; nobody reads its NAR.
      await cache.uploadPath(twin.info, () => {
        throw new Error("not needed");
      });
      const [one, two] = [await cache.narInfo(leaf.info.path), await cache.narInfo(twin.info.path)];
      expect(two?.url).toBe(one?.url);
      expect(two?.fileHash).toEqual(one?.fileHash);
      await cache.objects.put(one?.url ?? "", Buffer.from("rubbish"), { contentType: "x" });
      const third = {
        nar: leaf.nar,
        info: { ...leaf.info, path: parseStorePath(`${"d".repeat(32)}-third`) },
      };
      await cache.uploadPath(third.info, narsOf(third));
      const info = await cache.narInfo(third.info.path);
      if (info === undefined) throw new Error("no narinfo");
      expect((await bytesOf(cache.openNar(info))).equals(leaf.nar)).toBe(true);
      cache.close();
    });

    it("two uploads of one path at once are one", async () => {
      const cache = await open({ compression: "none" });
      let opened = 0;
      const nars = (path: typeof leaf.info.path) => {
        opened += 1;
        return both(path);
      };
      await Promise.all([cache.uploadPath(leaf.info, nars), cache.uploadPath(leaf.info, nars)]);
      expect(opened).toBe(1);
      cache.close();
    });

    it("writes logs and realisations", async () => {
      const cache = await open();
      const drv = parseStorePath("0c0xk2rpdj6xrb9xsd0rlvf1v7mkbbq6-tree-1.0.drv");
      async function* log(): AsyncGenerator<Uint8Array> {
        yield Buffer.from("building\n");
      }
      await cache.putLog(drv, log());
      const outPath = parseStorePath("g1w7hy3qg1w7hy3qg1w7hy3qg1w7hy3q-tree-1.0");
      await cache.putRealisation({ drvPath: drv, outputName: "out", outPath });
      const objects = await contents(kind, place);
      expect(objects.get(`log/${drv}`)?.toString()).toBe("building\n");
      const signature =
        "qeahGdWDanjV79q8n/3T/HwOWYNSOn7/gAZ0+8BG+vJnxBb6kSwyiNZF24cx08MGlUL3Wp/sqhrIDSJj/0U6AQ==";
      expect(objects.get(`realisations/${drv}^out.doi`)?.toString()).toContain(signature);
      expect(objects.get(`build-trace-v2/${drv}/out.doi`)?.toString()).toContain(signature);
      cache.close();
    });

    it("belongs to one store", async () => {
      (await open()).close();
      const uri = kind === "file" ? `file://${place}` : server.uri("cache");
      const other = openBinaryCache(uri, {
        credentials: server.keys,
        storeDir: parseStoreDir("/other/store"),
      });
      await expect(other).rejects.toMatchObject({ code: "wrong-store" });
    });
  });
}

describe("a cache in a bucket", () => {
  const open = (parameters: Record<string, string> = {}): Promise<BinaryCache> =>
    openBinaryCache(server.uri("cache", parameters), { credentials: server.keys });
  const object = (key: string) => server.objects.get("cache")?.get(key);

  it("sends the right headers: an encoding for texts, none for NARs", async () => {
    const cache = await open({
      compression: "zstd",
      "write-nar-listing": "1",
      "narinfo-compression": "br",
      "ls-compression": "zstd",
      "log-compression": "xz",
      "storage-class": "STANDARD_IA",
    });
    await cache.uploadPath(leaf.info, both);
    const hash = "a".repeat(32);
    expect(object(`${hash}.narinfo`)).toMatchObject({
      contentType: "text/x-nix-narinfo",
      contentEncoding: "br",
    });
    expect(object(`${hash}.ls`)).toMatchObject({ contentType: "application/json", contentEncoding: "zstd" });
    const info = await cache.narInfo(leaf.info.path);
    expect(object(info?.url ?? "")).toMatchObject({
      contentType: "application/x-nix-nar",
      contentEncoding: undefined,
      storageClass: "STANDARD_IA",
    });
    const drv = parseStorePath(`${hash}-x.drv`);
    async function* log(): AsyncGenerator<Uint8Array> {
      yield Buffer.from("line\n");
    }
    await cache.putLog(drv, log());
    const stored = object(`log/${drv}`);
    expect(stored).toMatchObject({ contentType: "text/plain; charset=utf-8", contentEncoding: "xz" });
    async function* body(): AsyncGenerator<Uint8Array> {
      yield stored?.body ?? Buffer.alloc(0);
    }
    expect((await bytesOf(decompress(body(), { method: "xz", maxOutput: 100 }))).toString()).toBe("line\n");
    cache.close();
  });

  it("sends large NARs in parts, and leaves none behind when that fails", async () => {
    const large = sample("f", file(randomBytes(12 << 20)));
    const cache = await open({ compression: "none", "buffer-size": String(5 << 20) });
    server.fault = ({ query }) =>
      query.get("partNumber") === "2" ? { status: 400, code: "Broken" } : undefined;
    await expect(cache.uploadPath(large.info, narsOf(large))).rejects.toMatchObject({ store: "cache" });
    expect(server.uploads.size).toBe(0);
    server.fault = undefined;
    await cache.uploadPath(large.info, narsOf(large));
    const info = await cache.narInfo(large.info.path);
    expect(object(info?.url ?? "")?.body.equals(large.nar)).toBe(true);
    expect(object(info?.url ?? "")?.etag).toMatch(/-3$/);
    expect(cache.traffic()).toMatchObject({ name: "cache", puts: 3 });
    cache.close();
  });

  it("a narinfo appears after its NAR and after those of its references", async () => {
    const cache = await open({ compression: "none" });
    // The reference is slow.
    const slow = async function* (path: typeof leaf.info.path): AsyncGenerator<Uint8Array> {
      if (path === leaf.info.path) await new Promise((resolve) => setTimeout(resolve, 50));
      yield* both(path);
    };
    await cache.uploadClosure([leaf.info, tree.info], slow);
    const writes = server.requests.filter(({ method }) => method === "PUT").map(({ key }) => key);
    const at = (key: string): number => writes.indexOf(key);
    expect(at(`${"a".repeat(32)}.narinfo`)).toBeLessThan(at(`${"b".repeat(32)}.narinfo`));
    for (const path of [leaf.info.path, tree.info.path]) {
      const info = await cache.narInfo(path);
      expect(at(info?.url ?? "")).toBeLessThan(at(`${path.slice(0, 32)}.narinfo`));
    }
    cache.close();
  });

  it("a referrer is not published when its reference could not be", async () => {
    const cache = await open({ compression: "none" });
    const broken = narsOf(tree);
    await expect(cache.uploadClosure([leaf.info, tree.info], broken)).rejects.toThrow("no sample");
    expect(
      [...(server.objects.get("cache")?.keys() ?? [])].filter((key) => key.endsWith(".narinfo")),
    ).toEqual([]);
    cache.close();
  });

  it("tells what is there from what cannot be asked, and remembers what is there", async () => {
    const cache = await open();
    await cache.uploadPath(leaf.info, both);
    const fresh = await open();
    const gone = parseStorePath(`${"z".repeat(32)}-gone`);
    server.fault = ({ key }) => (key.startsWith("b") ? { status: 400, code: "Odd" } : undefined);
    const answers = await fresh.hasNarInfos([leaf.info.path, tree.info.path, gone]);
    expect([...answers.values()]).toEqual(["present", "unknown", "absent"]);
    server.fault = () => ({ status: 400 });
    expect((await fresh.hasNarInfos([leaf.info.path])).get(leaf.info.path)).toBe("present");
    cache.close();
    fresh.close();
  });

  it("an abort ends an upload at once and leaves nothing", async () => {
    const cache = await open({ compression: "xz" });
    const reason = new Error("shutting down");
    const controller = new AbortController();
    async function* stuck(): AsyncGenerator<Uint8Array> {
      yield leaf.nar.subarray(0, 40);
      controller.abort(reason);
      await new Promise(() => undefined);
    }
    await expect(cache.uploadPath(leaf.info, stuck, { signal: controller.signal })).rejects.toBe(reason);
    expect([...(server.objects.get("cache")?.keys() ?? [])]).toEqual(["nix-cache-info"]);
    cache.close();
  });

  it("takes credentials from a profile", async () => {
    const file = join(scratch, "credentials");
    const { accessKeyId, secretAccessKey } = server.keys;
    await writeFile(
      file,
      `[Uploads]\naws_access_key_id = ${accessKeyId}\naws_secret_access_key = ${secretAccessKey}\n`,
    );
    const before = process.env.AWS_SHARED_CREDENTIALS_FILE;
    process.env.AWS_SHARED_CREDENTIALS_FILE = file;
    try {
      const cache = await openBinaryCache(server.uri("cache", { profile: "Uploads", compression: "none" }));
      await cache.uploadPath(leaf.info, both);
      expect(object(`${"a".repeat(32)}.narinfo`)).toBeDefined();
      cache.close();
    } finally {
      if (before === undefined) delete process.env.AWS_SHARED_CREDENTIALS_FILE;
      else process.env.AWS_SHARED_CREDENTIALS_FILE = before;
    }
  });

  it("opens while the bucket is not there, and says so without secrets", async () => {
    const lines: string[] = [];
    const logger = createLogger({ target: "t", write: (line) => void lines.push(line) });
    const cache = await openBinaryCache(server.uri("nowhere"), { credentials: server.keys, logger });
    expect(lines.join()).toContain("NoSuchBucket");
    const error: unknown = await cache.uploadPath(leaf.info, both).catch((thrown: unknown) => thrown);
    const { store, message } = error as BinaryCacheError;
    expect(store).toBe("nowhere");
    expect(`${message}${lines.join()}`).not.toContain(server.keys.secretAccessKey);
    cache.close();
  });
});

describe("cache URIs", () => {
  const read = (uri: string) => parseCacheUri(uri).settings;

  it("reads every parameter", () => {
    expect(read(" s3://b? ")).toMatchObject({
      kind: "s3",
      place: "b",
      compression: "xz",
      region: "us-east-1",
    });
    expect(read("s3://b?secret-keys=/a,,/C").secretKeyFiles).toEqual(["/a", "/C"]);
    expect(read("s3://b?write-nar-listing=TRUE&index-debug-info=1")).toMatchObject({
      writeNarListing: true,
      writeDebugInfo: true,
    });
    expect(read("s3://b?compression=XZ&ls-compression=BR")).toMatchObject({
      compression: "xz",
      lsCompression: "br",
    });
    expect(read("s3://b?endpoint=localhost:9000&scheme=http").endpoint).toBe("http://localhost:9000");
    expect(read("file:///var/My%20Cache/?compression=zst")).toMatchObject({
      place: "/var/My Cache",
      compression: "zstd",
    });
  });

  it("refuses what cannot be meant, and warns of what is not known", () => {
    for (const bad of [
      "s3://",
      "http://x",
      "s3://b?compression=gzip",
      "s3://b?scheme=ftp",
      "s3://b?buffer-size=x",
      "s3://b?presigned-url-expiry=59",
      "s3://b?presigned-url-expiry=86401",
      "s3://b?write-nar-listing=on",
    ]) {
      expect(() => parseCacheUri(bad), bad).toThrow(expect.objectContaining({ code: "settings" }));
    }
    expect(parseCacheUri("s3://b?compresion=xz&trusted=1").warnings).toEqual([
      "parameter 'compresion' is not known and ignored",
    ]);
  });

  it("cuts uploads into parts as peers expect", () => {
    const mib = 2 ** 20;
    expect(partPlan(0)).toEqual({ partSize: 10 * mib, parts: 3 });
    expect(partPlan(10_485_761)).toEqual({ partSize: 10 * mib, parts: 4 });
    expect(partPlan(7_332_485_232)).toEqual({ partSize: 10 * mib, parts: 771 });
    expect(partPlan(94_371_840_001)).toEqual({ partSize: 16 * mib, parts: 6190 });
    expect(partPlan(214_748_364_800)).toEqual({ partSize: 32 * mib, parts: 7041 });
  });

  it("believes in presence for a while only", () => {
    let now = 0;
    const presence = new PresenceCache(10, () => now);
    presence.add(leaf.info.path);
    now = 9999;
    expect(presence.has(leaf.info.path)).toBe(true);
    now = 10_000;
    expect(presence.has(leaf.info.path)).toBe(false);
  });
});
