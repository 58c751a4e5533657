// What must be true of a cache at every moment, whoever writes and whenever it is cut short. One test each.
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  type BinaryCache,
  isPresignedCache,
  openBinaryCache,
  type PresignedCache,
  UploadQueue,
} from "../../lib/binary-cache/index.js";
import { parseNarInfo } from "../../lib/nix/cache/nar-info.js";
import { hashBytes } from "../../lib/nix/path/hash.js";
import { defaultStoreDir, parseStorePath } from "../../lib/nix/path/store-path.js";
import { LogStore } from "../../lib/runner/outputs/logs/log-store.js";
import { type Fault, type S3Server, startS3Server } from "../support/s3-server/index.js";
import { build, only, request } from "./presigned-builder.js";
import { bytesOf, file, folder, narsOf, sample, secretKey } from "./samples.js";

let server: S3Server;
let scratch: string;
const opened: BinaryCache[] = [];
beforeEach(async () => {
  server = await startS3Server();
  scratch = await mkdtemp(join(tmpdir(), "cache-invariants-"));
  await writeFile(join(scratch, "key"), secretKey);
});
afterEach(async () => {
  for (const cache of opened.splice(0)) cache.close();
  await server.close();
  await rm(scratch, { recursive: true });
});

/** A process of its own, as far as the bucket can tell. */
async function open(parameters: Record<string, string> = {}): Promise<BinaryCache> {
  const all = {
    compression: "zstd",
    "secret-key": join(scratch, "key"),
    "write-nar-listing": "1",
    ...parameters,
  };
  const cache = await openBinaryCache(server.uri("cache", all), { credentials: server.keys });
  opened.push(cache);
  return cache;
}

async function openPresigned(): Promise<PresignedCache> {
  const cache = await open({ "write-nar-listing": "0" });
  if (!isPresignedCache(cache)) throw new Error("no presigned cache");
  return cache;
}

const objects = () => server.objects.get("cache") ?? new Map();

/** Every narinfo in the bucket must be true: that is all a client has. */
async function demandTruth(): Promise<number> {
  const cache = await open();
  const narInfos = [...objects()].filter(([key]) => key.endsWith(".narinfo"));
  for (const [key, { body }] of narInfos) {
    const info = parseNarInfo(defaultStoreDir, body.toString());
    const nar = await bytesOf(cache.openNar(info));
    expect(nar.length, key).toBe(info.narSize);
    expect(hashBytes("sha256", nar), key).toEqual(info.narHash);
  }
  return narInfos.length;
}

/** Fails the n-th writing request from now on and everything after it, as a process that dies there. */
function dieAt(moment: number): void {
  let writes = 0;
  server.fault = ({ method }): Fault | undefined =>
    (method === "PUT" || method === "POST") && writes++ >= moment ? { status: 400, code: "Died" } : undefined;
}

const leaf = sample("a", file("hello world\n"));
const top = sample("b", folder({ deep: folder({ text: file("x".repeat(50_000)) }) }), [leaf.info.path]);

describe("invariants of a cache", () => {
  it("I1: a narinfo is published only if the stored object decompresses to its NarHash and NarSize", async () => {
    // Cut short at any write, then done again by the next process.
    for (let moment = 0; moment < 7; moment++) {
      objects().clear();
      const first = await open();
      dieAt(moment);
      await first.uploadClosure([leaf.info, top.info], narsOf(leaf, top)).catch(() => undefined);
      server.fault = undefined;
      await demandTruth();
      await (await open()).uploadClosure([leaf.info, top.info], narsOf(leaf, top));
      expect(await demandTruth(), `after a death at write ${moment}`).toBe(2);
    }
    // Contents that are not what the store promised.
    objects().clear();
    const bent = Buffer.from(top.nar);
    bent[bent.length - 1000] = (bent[bent.length - 1000] ?? 0) ^ 1;
    for (const nar of [bent, top.nar.subarray(0, -8), Buffer.concat([top.nar, Buffer.alloc(8)])]) {
      const upload = (await open()).uploadPath(top.info, narsOf({ info: top.info, nar }));
      await expect(upload).rejects.toMatchObject({ code: "mismatch" });
    }
    expect(await demandTruth()).toBe(0);
    // A NAR under the right name with wrong bytes, left by somebody else, and a builder that takes it for good.
    const cache = await openPresigned();
    const urls = only(await cache.presigned.urls("attempt", [request(leaf)]));
    const upload = await build(urls, leaf);
    await cache.objects.put(urls.narUrl, Buffer.from("rubbish"), { contentType: "x" });
    const blind = { narInfo: upload.narInfo, multipart: undefined, narAlreadyPresent: true };
    await expect(cache.presigned.complete("attempt", blind)).rejects.toThrow();
    expect(await demandTruth()).toBe(0);
    await cache.presigned.complete("attempt", upload);
    expect(await demandTruth()).toBe(1);
  });

  it("I2: a key once written never changes bytes", async () => {
    const before = new Map<string, Buffer>();
    const check = (): void => {
      for (const [key, body] of before) expect(objects().get(key)?.body.equals(body), key).toBe(true);
      for (const [key, { body }] of objects()) before.set(key, body);
    };
    // Two processes with different settings write the same at the same time, again and again.
    for (let round = 0; round < 5; round++) {
      objects().clear();
      before.clear();
      const writers = [
        await open({ "compression-level": "1" }),
        await open({ "compression-level": "19", "ls-compression": "br", "narinfo-compression": "xz" }),
      ];
      await Promise.all(
        writers.map((cache) => cache.uploadClosure([leaf.info, top.info], narsOf(leaf, top)).finally(check)),
      );
      check();
      await (await open({ "compression-level": "3" })).uploadClosure(
        [leaf.info, top.info],
        narsOf(leaf, top),
      );
      check();
    }
    // The same path from a build that gave other contents: left alone, and refused when it comes at the last moment.
    const other = sample("a", file("something else\n"));
    const late = await open();
    expect(await late.uploadPath(other.info, narsOf(other))).toBe("present");
    await expect(
      late.publish({
        ...other.info,
        url: "nar/x.nar",
        compression: "none",
        fileHash: undefined,
        fileSize: undefined,
      }),
    ).rejects.toMatchObject({ code: "mismatch" });
    check();
  });

  it("I3: all outputs of a derivation in the cache come from one execution", async () => {
    const outputs = [
      parseStorePath(`${"c".repeat(32)}-sample-c`),
      parseStorePath(`${"d".repeat(32)}-sample-d`),
    ];
    const execution = (n: number) => [
      sample("c", file(`out of execution ${n}\n`)),
      sample("d", file(`dev of execution ${n}\n`), [outputs[0] ?? leaf.info.path]),
    ];
    const cache = await openPresigned();
    const [firstOut, firstDev] = execution(1);
    const [secondOut, secondDev] = execution(2);
    if (!firstOut || !firstDev || !secondOut || !secondDev) throw new Error("no samples");
    const narInfos = () => [...objects().keys()].filter((key) => key.endsWith(".narinfo"));

    // The first builder dies after one of its outputs.
    const first = await cache.presigned.urls("first", [request(firstOut), request(firstDev)], { outputs });
    await cache.presigned.complete("first", await build(first[0] ?? only([]), firstOut));
    expect(narInfos()).toEqual([]);
    await cache.presigned.abandon("first");

    // The second one does both, in the wrong order; what does not belong to it is published meanwhile.
    const requests = [leaf, secondOut, secondDev].map((one) => request(one));
    const [leafUrl, outUrl, devUrl] = await cache.presigned.urls("second", requests, { outputs });
    if (!leafUrl || !outUrl || !devUrl) throw new Error("nothing was presigned");
    await cache.presigned.complete("second", await build(devUrl, secondDev));
    await cache.presigned.complete("second", await build(leafUrl, leaf));
    expect(narInfos()).toEqual([`${"a".repeat(32)}.narinfo`]);
    await cache.presigned.complete("second", await build(outUrl, secondOut));
    for (const { info } of [secondOut, secondDev]) {
      expect((await cache.narInfo(info.path))?.narHash).toEqual(info.narHash);
    }
    await cache.presigned.abandon("second");

    // One narinfo is lost; a third execution must not fill the gap.
    objects().delete(`${"d".repeat(32)}.narinfo`);
    const third = await openPresigned();
    const mixing = third.presigned.urls("third", [request(firstOut), request(firstDev)], { outputs });
    await expect(mixing).rejects.toMatchObject({ code: "mismatch" });
    // One that gives the same bytes may.
    const [again] = await third.presigned.urls("fourth", [request(secondOut), request(secondDev)], {
      outputs,
    });
    await third.presigned.complete("fourth", await build(again ?? only([]), secondDev));
    expect((await third.narInfo(secondDev.info.path))?.narHash).toEqual(secondDev.info.narHash);
    expect(await demandTruth()).toBe(3);
  });

  it("I16: attempt logs are never lost or overwritten, and each reaches the cache", async () => {
    const drv = parseStorePath(`${"d".repeat(32)}-top.drv`);
    const logs = new LogStore({ directory: join(scratch, "logs"), maxBytes: 0 });
    const write = async (text: string): Promise<void> => {
      const writer = await logs.create(drv);
      await writer.write(Buffer.from(text));
      await writer.close();
      await logs.finish(drv);
    };
    const cache = await open({ "log-compression": "none" });
    const openQueue = (): Promise<UploadQueue> =>
      UploadQueue.open({
        folder: join(scratch, "journal"),
        caches: () => [cache],
        closure: () => Promise.resolve([]),
        openNar: narsOf(),
        retryDelayMs: 1,
        maxRetryDelayMs: 5,
      });
    const file = logs.pathOf(drv);
    const first = "first try\n".repeat(1000);

    // While the bucket is away one try follows the other, and the process is replaced.
    server.fault = () => ({ status: 400, code: "Away" });
    const before = await openQueue();
    await write(first);
    await before.enqueue({ paths: [], log: { drv, file, attempt: "7-1" } });
    await write("second try\n");
    await before.enqueue({ paths: [], log: { drv, file, attempt: "7-2" } });
    await before.enqueue({ paths: [], log: { drv, file } });
    await before.close();
    const after = await openQueue();
    await write("third try\n");
    await after.enqueue({ paths: [], log: { drv, file } });
    server.fault = undefined;
    await after.idle();

    const text = (key: string): string | undefined => objects().get(key)?.body.toString();
    expect(text(`log/${drv}.7-1`)).toBe(first);
    expect(text(`log/${drv}.7-2`)).toBe("second try\n");
    expect(text(`log/${drv}`)).toBe("third try\n");
    const written = server.requests.filter(({ method, key }) => method === "PUT" && key === `log/${drv}`);
    expect(written.length).toBeGreaterThanOrEqual(2);
    expect(await readFile(`${file}.try2`, "utf8")).toBe("second try\n");
    expect((await readFile(`${file}.try1.zst`)).length).toBeGreaterThan(0);
    await after.close();
  });
});
