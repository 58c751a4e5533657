/** Each try to bring a job into a cache is told of, and caches on object stores of one's own. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import {
  BinaryCacheError,
  binaryCacheOn,
  FileCache,
  type ObjectStore,
  UploadQueue,
  type UploadTry,
} from "../../../lib/binary-cache/index.js";
import { file, narsOf, sample } from "../samples.js";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "upload-tries-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** A folder that refuses the first writes of NARs. */
function failing(times: number): ObjectStore {
  const objects = new FileCache(join(folder, "cache"));
  let left = times;
  return new Proxy(objects, {
    get(target, name) {
      if (name === "name") return "flaky";
      if (name === "put") {
        return (key: string, ...rest: [Uint8Array, Parameters<ObjectStore["put"]>[2]]) => {
          if (key.startsWith("nar/") && left-- > 0) {
            return Promise.reject(new BinaryCacheError("unavailable", "no room", { store: "flaky" }));
          }
          return target.put(key, ...rest);
        };
      }
      const value: unknown = Reflect.get(target, name);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

it("tells of failures that are repeated, of what was written, and of what was there", async () => {
  const leaf = sample("a", file("leaf"));
  const cache = await binaryCacheOn(failing(2), "compression=none");
  const tries: UploadTry[] = [];
  const queue = await UploadQueue.open({
    folder: join(folder, "journal"),
    caches: () => [cache],
    closure: () => Promise.resolve([leaf.info]),
    openNar: narsOf(leaf),
    retryDelayMs: 1,
    onTry: (ended) => tries.push(ended),
  });
  for (let i = 0; i < 2; i++) await (await queue.enqueue({ paths: [leaf.info.path] })).done;
  await queue.close();
  expect(tries.map(({ cache: { name }, outcome }) => [name, outcome])).toMatchObject([
    ["flaky", { kind: "failed", error: { message: expect.stringContaining("no room") }, retried: true }],
    ["flaky", { kind: "failed", retried: true }],
    ["flaky", { kind: "uploaded", paths: [leaf.info.path], narBytes: leaf.info.narSize }],
    ["flaky", { kind: "uploaded", paths: [], narBytes: 0 }],
  ]);
  for (const { ms } of tries) expect(ms).toBeGreaterThanOrEqual(0);
});

it("tries what failed again at once when it is asked to, and knows since when it waits", async () => {
  const leaf = sample("a", file("leaf"));
  const cache = await binaryCacheOn(failing(1), "compression=none");
  const options = {
    folder: join(folder, "journal"),
    caches: () => [cache],
    closure: () => Promise.resolve([leaf.info]),
    openNar: narsOf(leaf),
    retryDelayMs: 3_600_000,
    maxRetryDelayMs: 3_600_000,
  };
  const tries: UploadTry[] = [];
  const queue = await UploadQueue.open({ ...options, onTry: (ended) => tries.push(ended) });
  expect(queue.retryNow()).toBe(0);
  const begin = Date.now();
  const { done } = await queue.enqueue({ paths: [leaf.info.path] });
  await expect.poll(() => tries.length).toBe(1);
  await expect.poll(() => queue.retryNow()).toBe(1);
  await done;
  expect(tries.map(({ outcome }) => outcome.kind)).toEqual(["failed", "uploaded"]);
  expect(queue.retryNow()).toBe(0);
  const addedAt = tries[0]?.job.addedAt ?? 0;
  expect(addedAt).toBeGreaterThanOrEqual(begin);
  expect(addedAt).toBeLessThanOrEqual(Date.now());
  await queue.close();
});

it("tells of a job that can never be done, once for each cache", async () => {
  const leaf = sample("a", file("leaf"));
  const cache = await binaryCacheOn(failing(0), "compression=none");
  const tries: UploadTry[] = [];
  const queue = await UploadQueue.open({
    folder: join(folder, "journal"),
    caches: () => [cache],
    // Deleted meanwhile.
    closure: () => Promise.resolve([]),
    openNar: narsOf(leaf),
    onTry: (ended) => tries.push(ended),
  });
  await expect((await queue.enqueue({ paths: [leaf.info.path] })).done).rejects.toMatchObject({
    code: "invalid-path",
  });
  await queue.close();
  expect(tries).toMatchObject([{ outcome: { kind: "failed", retried: false } }]);
});

it("refuses parameters that a cache does not have, by name", async () => {
  await expect(binaryCacheOn(failing(0), "compression=best")).rejects.toMatchObject({
    code: "settings",
    message: expect.stringMatching(/'compression' must be one of/),
  });
});
