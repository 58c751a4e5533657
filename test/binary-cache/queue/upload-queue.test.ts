// The queue of uploads: order, retries, restarts.
import { appendFile, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  type BinaryCache,
  openBinaryCache,
  UploadQueue,
  type UploadQueueOptions,
} from "../../../lib/binary-cache/index.js";
import { parseStorePath } from "../../../lib/nix/path/store-path.js";
import { type S3Server, startS3Server } from "../../support/s3-server/index.js";
import { file, narsOf, sample } from "../samples.js";

const leaf = sample("a", file("leaf"));
const top = sample("b", file("top"), [leaf.info.path]);
const drv = parseStorePath(`${"d".repeat(32)}-top.drv`);

let server: S3Server;
let scratch: string;
let caches: BinaryCache[];
beforeEach(async () => {
  server = await startS3Server({ buckets: ["one", "two"] });
  scratch = await mkdtemp(join(tmpdir(), "queue-"));
  caches = [];
  for (const bucket of ["one", "two"]) {
    const uri = server.uri(bucket, { compression: "none" });
    caches.push(await openBinaryCache(uri, { credentials: server.keys }));
  }
});
afterEach(async () => {
  for (const cache of caches) cache.close();
  await server.close();
  await rm(scratch, { recursive: true });
});

function open(options: Partial<UploadQueueOptions> = {}): Promise<UploadQueue> {
  return UploadQueue.open({
    folder: join(scratch, "journal"),
    caches: () => caches,
    closure: (paths) =>
      Promise.resolve(
        [leaf.info, top.info].filter(({ path }) => paths.includes(path) || paths.includes(top.info.path)),
      ),
    openNar: narsOf(leaf, top),
    retryDelayMs: 1,
    maxRetryDelayMs: 5,
    ...options,
  });
}

const journal = (): string => join(scratch, "journal", "journal.jsonl");
const has = (bucket: string, key: string): boolean => server.objects.get(bucket)?.has(key) ?? false;
const narinfo = (letter: string): string => `${letter.repeat(32)}.narinfo`;

describe("UploadQueue", () => {
  it("uploads closures and logs into all caches, and clears its journal", async () => {
    const log = join(scratch, "log");
    await writeFile(log, "built\n");
    const queue = await open();
    const { done } = await queue.enqueue({ paths: [top.info.path], log: { drv, file: log } });
    await queue.enqueue({ paths: [leaf.info.path], log: { drv, file: "/nowhere" }, caches: ["one"] });
    await done;
    await queue.idle();
    for (const bucket of ["one", "two"]) {
      expect([has(bucket, narinfo("a")), has(bucket, narinfo("b")), has(bucket, `log/${drv}`)]).toEqual([
        true,
        true,
        true,
      ]);
    }
    expect(queue.size).toBe(0);
    expect(await readFile(journal(), "utf8")).toBe("");
    await queue.close();
  });

  it("one cache that is down does not hold up the other, and gets its data later", async () => {
    let down = true;
    server.fault = ({ bucket }) => (down && bucket === "one" ? { status: 400, code: "Down" } : undefined);
    const states = new Map<string, boolean>();
    const queue = await open({ onCache: (cache, error) => void states.set(cache.name, error === undefined) });
    const { done } = await queue.enqueue({ paths: [top.info.path] });
    await expect.poll(() => has("two", narinfo("b"))).toBe(true);
    await expect.poll(() => Object.fromEntries(states)).toEqual({ one: false, two: true });
    expect(queue.pendingPaths()).toEqual([top.info.path]);
    expect(has("one", narinfo("b"))).toBe(false);
    down = false;
    await done;
    expect(has("one", narinfo("b"))).toBe(true);
    expect(Object.fromEntries(states)).toEqual({ one: true, two: true });
    await queue.close();
  });

  it("a restart finds everything that was not done", async () => {
    server.fault = () => ({ status: 400 });
    const first = await open({ retryDelayMs: 60_000, concurrency: () => 1 });
    const jobs = [
      await first.enqueue({ paths: [leaf.info.path] }),
      await first.enqueue({ paths: [top.info.path] }),
    ];
    await first.close();
    for (const { done } of jobs) await expect(done).rejects.toMatchObject({ code: "unavailable" });
    // The first is damage; the second was cut off by a crash before anybody was told that it is there.
    await appendFile(journal(), `{ broken\n{"id":"000000000078","job":{`);
    await writeFile(join(scratch, "journal", "000000000077.log"), "of a job that is not there");
    server.fault = undefined;
    const second = await open();
    expect(second.pendingPaths()).toEqual([leaf.info.path, top.info.path]);
    await second.idle();
    expect(has("one", narinfo("b"))).toBe(true);
    expect((await readdir(join(scratch, "journal"))).sort()).toEqual(["journal.jsonl", "unreadable.jsonl"]);
    expect(await readFile(join(scratch, "journal", "unreadable.jsonl"), "utf8")).toBe("{ broken\n");
    await second.close();
  });

  it("takes paths, a log and realisations over from another cache, also after a restart", async () => {
    const [one] = caches;
    await one?.uploadClosure([leaf.info, top.info], narsOf(leaf, top));
    await one?.putLog(drv, narsOf(leaf)(leaf.info.path));
    const realisations = [{ drvPath: drv, outputName: "out", outPath: top.info.path }];
    const job = { paths: [top.info.path], from: { cache: "one", drv }, caches: ["two"], realisations };
    server.fault = () => ({ status: 400 });
    const first = await open({ retryDelayMs: 60_000, closure: () => Promise.reject(new Error("not asked")) });
    await first.enqueue(job);
    await first.close();
    server.fault = undefined;
    const second = await open({ closure: () => Promise.reject(new Error("not asked")) });
    await second.idle();
    const keys = (bucket: string): string[] => [...(server.objects.get(bucket)?.keys() ?? [])];
    expect(keys("two")).toEqual(expect.arrayContaining(keys("one").filter((key) => key.startsWith("nar/"))));
    expect([narinfo("a"), narinfo("b"), `log/${drv}`].every((key) => has("two", key))).toBe(true);
    expect(keys("two").some((key) => key.startsWith("realisations/"))).toBe(true);
    // What the other cache does not have will not come by waiting.
    const gone = await second.enqueue({ ...job, paths: [parseStorePath(`${"z".repeat(32)}-gone`)] });
    await expect(gone.done).rejects.toMatchObject({ code: "missing" });
    const nowhere = await second.enqueue({ ...job, from: { cache: "three" } });
    await expect(nowhere.done).rejects.toMatchObject({ code: "missing" });
    await second.close();
  });

  it("can be closed while it opens a log, whether or not that is there", async () => {
    for (let round = 0; round < 30; round++) {
      const queue = await open({ folder: join(scratch, `journal-${round}`) });
      await queue.enqueue({ paths: [], log: { drv, file: join(scratch, "no-such-log") }, caches: ["one"] });
      await queue.close();
    }
    // An error that nobody listened to would end the process, and this run, by now.
    await sleep(50);
  });

  it("gives up what can never work", async () => {
    const ended: (string | undefined)[] = [];
    const pending: number[] = [];
    const queue: UploadQueue = await open({
      openNar: narsOf({ info: leaf.info, nar: Buffer.from("wrong") }),
      onDone: (_job, error) => {
        ended.push(error?.message);
        pending.push(queue.size, queue.pendingJobs().length);
      },
    });
    const wrong = await queue.enqueue({ paths: [leaf.info.path] });
    await expect(wrong.done).rejects.toMatchObject({ code: "mismatch" });
    const lost = await queue.enqueue({ paths: [parseStorePath(`${"z".repeat(32)}-gone`)] });
    await expect(lost.done).rejects.toMatchObject({ code: "invalid-path" });
    expect(ended).toEqual([
      expect.stringContaining("bytes"),
      expect.stringContaining("no longer in the store"),
    ]);
    // A job that is over is none that is pending.
    expect(pending).toEqual([0, 0, 0, 0]);
    await queue.idle();
    expect(await readFile(journal(), "utf8")).toBe("");
    await queue.close();
  });
});
