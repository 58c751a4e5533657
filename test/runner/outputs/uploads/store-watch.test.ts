// A bucket that falls silent is a problem although nothing is asked of it.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, it } from "vitest";
import { openBinaryCache } from "../../../../lib/binary-cache/index.js";
import { StoreWatch } from "../../../../lib/runner/outputs/uploads/store-watch.js";
import { Problems } from "../../../../lib/runner/state/problems.js";
import { startS3Server } from "../../../support/s3-server/index.js";

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

it("begins without a request, and ends when the bucket answers", async () => {
  const s3 = await startS3Server();
  ends.push(() => s3.close());
  const cache = await openBinaryCache(s3.uri("cache"), { credentials: s3.keys });
  ends.push(() => cache.close());
  await cache.confirm();
  const problems = new Problems({ now: () => Date.now() });
  const watch = new StoreWatch([cache], problems, { probeEveryMs: 100 });
  ends.push(() => watch.close());
  await expect.poll(() => s3.requests.length).toBeGreaterThan(3);
  expect(problems.present).toEqual([]);
  s3.fault = () => ({ reset: true });
  await expect.poll(() => problems.present).toMatchObject([{ part: "uploads", subject: cache.name }]);
  s3.fault = undefined;
  await expect.poll(() => problems.present).toEqual([]);
});

it("asks nothing of a folder, and nothing more after its end", async () => {
  const folder = await mkdtemp(join(tmpdir(), "store-watch-"));
  ends.push(() => rm(folder, { recursive: true }));
  const s3 = await startS3Server();
  ends.push(() => s3.close());
  const caches = [
    await openBinaryCache(`file://${folder}`),
    await openBinaryCache(s3.uri("cache"), { credentials: s3.keys }),
  ];
  for (const cache of caches) await cache.confirm();
  expect(caches[0]?.silence).toBeUndefined();
  const problems = new Problems({ now: () => Date.now() });
  const watch = new StoreWatch(caches, problems, { probeEveryMs: 20 });
  await expect.poll(() => s3.requests.length).toBeGreaterThan(3);
  watch.close();
  await new Promise((done) => setTimeout(done, 100));
  const asked = s3.requests.length;
  await new Promise((done) => setTimeout(done, 200));
  expect(s3.requests).toHaveLength(asked);
  for (const cache of caches) cache.close();
});
