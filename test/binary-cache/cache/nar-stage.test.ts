// NARs that are written into a cache while they are received.
import { randomBytes } from "node:crypto";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type BinaryCache, openBinaryCache } from "../../../lib/binary-cache/index.js";
import { zstdFrame } from "../../../lib/compression/index.js";
import { hashBytes } from "../../../lib/nix/path/hash.js";
import { bytesOf, file, narsOf, type Sample, sample } from "../samples.js";

const large = sample("a", file(randomBytes(3 << 20)));
let root: string;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "nar-stage-"));
});

afterEach(() => rm(root, { recursive: true, force: true }));

function open(parameters: string): Promise<BinaryCache> {
  return openBinaryCache(`file://${root}?${parameters}`);
}

async function* cut(bytes: Uint8Array, size = 16_384): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

function frameOf(nar: Uint8Array): Promise<Buffer> {
  return bytesOf(zstdFrame(cut(nar), { level: 3 }));
}

/** Element by element it would take seconds. */
function expectSame(actual: Buffer, expected: Uint8Array): void {
  expect(actual.equals(expected)).toBe(true);
}

/** As a runner receives it. */
async function receive(cache: BinaryCache, { info }: Sample, frame: Uint8Array, nar: Uint8Array) {
  const stage = cache.stageNar(info);
  if (stage === undefined) return undefined;
  expectSame(await bytesOf(stage.received(cut(frame))), frame);
  expectSame(await bytesOf(stage.decoded(cut(nar))), nar);
  return stage;
}

/** But for the one that says whose cache it is. */
async function files(): Promise<string[]> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile() && entry.name !== "nix-cache-info").map(({ name }) => name);
}

/** Opening the NAR of a path that is staged would be a second pass. */
function unread(): AsyncIterable<Uint8Array> {
  throw new Error("the NAR is read once more");
}

test("the received frame is the cache's object, under its name only when the path is uploaded", async () => {
  const cache = await open("compression=zstd&write-nar-listing=true");
  const frame = await frameOf(large.nar);
  const stage = await receive(cache, large, frame, large.nar);
  expect(stage?.complete).toBe(true);
  expect((await files()).filter((name) => !name.startsWith(".tmp-"))).toEqual([]);

  await cache.uploadPath(large.info, unread);
  const info = await cache.narInfo(large.info.path);
  expect(info).toMatchObject({
    compression: "zstd",
    fileSize: frame.length,
    fileHash: hashBytes("sha256", frame),
    narHash: large.info.narHash,
  });
  expectSame(await readFile(join(root, info?.url ?? "")), frame);
  const sent = await cache.openFrame(large.info);
  expectSame(await bytesOf(sent ?? cut(Buffer.alloc(0))), frame);
  expect(await cache.listing(large.info.path)).toMatchObject({ type: "regular" });
  expect((await files()).filter((name) => name.startsWith(".tmp-"))).toEqual([]);
});

test("a cache without compression gets the NAR itself", async () => {
  const cache = await open("compression=none");
  await receive(cache, large, await frameOf(large.nar), large.nar);
  await cache.uploadPath(large.info, unread);
  const info = await cache.narInfo(large.info.path);
  expectSame(await readFile(join(root, info?.url ?? "")), large.nar);
});

test("caches that compress in another way, or better, stage nothing", async () => {
  for (const settings of ["compression=xz", "compression=zstd&compression-level=12", "compression=br"]) {
    expect((await open(settings)).stageNar(large.info)).toBeUndefined();
  }
});

test("what is discarded leaves nothing, and the path is uploaded in the usual way", async () => {
  const cache = await open("compression=zstd");
  const stage = await receive(cache, large, await frameOf(large.nar), large.nar);
  await stage?.discard();
  expect(await files()).toEqual([]);
  await cache.uploadPath(large.info, narsOf(large));
  const info = await cache.narInfo(large.info.path);
  if (info === undefined) throw new Error("no narinfo");
  expectSame(await bytesOf(cache.openNar(info)), large.nar);
  // What was compressed elsewhere may be anything.
  expect(await cache.openFrame(large.info)).toBeUndefined();
});

test("other contents than promised are passed on, and leave nothing", async () => {
  const cache = await open("compression=zstd");
  const other = Buffer.from(large.nar);
  other[1_000_000] = (other[1_000_000] ?? 0) ^ 1;
  const stage = await receive(cache, large, await frameOf(other), other);
  expect(stage?.complete).toBe(false);
  await stage?.discard();
  expect(await files()).toEqual([]);
});

test("a stream that breaks off leaves nothing", async () => {
  const cache = await open("compression=zstd");
  const frame = await frameOf(large.nar);
  const stage = cache.stageNar(large.info);
  if (stage === undefined) throw new Error("it is not staged");
  async function* broken(): AsyncGenerator<Uint8Array> {
    yield* cut(frame.subarray(0, frame.length / 2));
    throw new Error("cut off");
  }
  await expect(bytesOf(stage.received(broken()))).rejects.toThrow("cut off");
  expect(stage.complete).toBe(false);
  await stage.discard();
  expect(await files()).toEqual([]);
});

test("two frames, or one that is far longer than its data, are not kept as they are", async () => {
  const cache = await open("compression=zstd");
  const half = large.nar.length / 2;
  const two = Buffer.concat([
    await frameOf(large.nar.subarray(0, half)),
    await frameOf(large.nar.subarray(half)),
  ]);
  expect((await receive(cache, large, two, large.nar))?.complete).toBe(false);

  const frame = await frameOf(large.nar);
  // Raw blocks of no bytes, behind the header of the frame.
  const header = frame.subarray(0, 6);
  const bloated = Buffer.concat([header, Buffer.alloc(3 * (1 << 20)), frame.subarray(6)]);
  expect((await receive(cache, large, bloated, large.nar))?.complete).toBe(false);
});

test("the same contents are staged once, and a NAR that is there stays as it is", async () => {
  const cache = await open("compression=zstd");
  await cache.uploadPath(large.info, narsOf(large));
  const twin = { ...large, info: { ...large.info, path: sample("b", file("")).info.path } };
  const stage = await receive(cache, twin, await frameOf(large.nar), large.nar);
  expect(cache.stageNar(twin.info)).toBeUndefined();
  expect(stage?.complete).toBe(true);
  await cache.uploadPath(twin.info, unread);
  const [first, second] = [await cache.narInfo(large.info.path), await cache.narInfo(twin.info.path)];
  expect(second?.fileHash).toEqual(first?.fileHash);
  expect((await files()).filter((name) => name.endsWith(".nar.zst"))).toHaveLength(1);
});
