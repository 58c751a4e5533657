// Objects and files whose names come from store names are legal for every legal store name.

import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, expect, it } from "vitest";
import { openBinaryCache, UploadQueue } from "../../lib/binary-cache/index.js";
import { logKey } from "../../lib/binary-cache/layout.js";
import { FileCache } from "../../lib/binary-cache/objects/file-cache.js";
import { silentLogger } from "../../lib/log.js";
import { parseStorePath, type StorePath } from "../../lib/nix/path/store-path.js";
import { file, narsOf, sample } from "./samples.js";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "names-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const longestAttempt = `${2 ** 31 - 1}-${2 ** 31 - 1}`;
const longDrv = (length: number, letter = "d"): StorePath =>
  parseStorePath(`${letter.repeat(32)}-${"n".repeat(length - 4)}.drv`);

it("keys of logs have legal parts, and tell derivations and tries apart", () => {
  fc.assert(
    fc.property(fc.integer({ min: 5, max: 211 }), (length) => {
      const keys = [
        logKey(longDrv(length)),
        logKey(longDrv(length), longestAttempt),
        logKey(longDrv(length), "1-1"),
        logKey(longDrv(length, "c"), longestAttempt),
      ];
      for (const part of keys.flatMap((key) => key.split("/"))) expect(part.length).toBeLessThanOrEqual(255);
      expect(new Set(keys).size).toBe(keys.length);
    }),
  );
});

it("a folder takes objects with the longest names", async () => {
  const cache = new FileCache(folder);
  const key = `log/${"x".repeat(255)}`;
  expect(await cache.put(key, Buffer.from("text"), { contentType: "text/plain" })).toBe("written");
  expect((await cache.head(key))?.size).toBe(4);
  expect(await readdir(join(folder, "log"))).toEqual(["x".repeat(255)]);
});

it("the log of a try with the longest names is uploaded, and its outputs with it", async () => {
  const leaf = sample("a", file("leaf"));
  const log = join(folder, "log");
  await writeFile(log, "built\n");
  const cache = await openBinaryCache(`file://${folder}/cache?compression=none`);
  const queue = await UploadQueue.open({
    folder: join(folder, "journal"),
    caches: () => [cache],
    closure: () => Promise.resolve([leaf.info]),
    openNar: narsOf(leaf),
  });
  const { done } = await queue.enqueue({
    paths: [leaf.info.path],
    log: { drv: longDrv(211), file: log, attempt: longestAttempt },
  });
  await done;
  await queue.close();
  expect(await readdir(join(folder, "cache", "log"))).toHaveLength(1);
});

it("a job whose names no disk takes ends with one error", async () => {
  const leaf = sample("a", file("leaf"));
  const cache = await openBinaryCache(`file://${folder}/cache?compression=none`);
  const errors: string[] = [];
  const logger = { ...silentLogger, error: (message: string) => void errors.push(message) };
  const queue = await UploadQueue.open({
    folder: join(folder, "journal"),
    caches: () => [cache],
    closure: () => Promise.resolve([leaf.info]),
    openNar: narsOf(leaf),
    logger,
  });
  const { done } = await queue.enqueue({
    paths: [],
    realisations: [{ drvPath: longDrv(20), outputName: "o".repeat(211), outPath: leaf.info.path }],
  });
  await expect(done).rejects.toThrow(/ENAMETOOLONG/);
  expect(errors).toEqual(["upload failed permanently"]);
  await queue.close();
});
