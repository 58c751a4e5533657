// Objects in a folder: what they hold, and the order in which they get their names.
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import { BinaryCache, FileCache, type ObjectStore, parseCacheUri } from "../../../lib/binary-cache/index.js";
import { compress } from "../../../lib/compression/index.js";
import { hashBytes } from "../../../lib/nix/path/hash.js";
import { defaultStoreDir } from "../../../lib/nix/path/store-path.js";
import { deferred } from "../../support/deferred.js";
import { until } from "../../support/until.js";
import { bytesOf, file, narsOf, sample } from "../samples.js";

let scratch: string;
let folder: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "file-cache-"));
});
afterAll(() => rm(scratch, { recursive: true }));
beforeEach(async () => {
  folder = await mkdtemp(join(scratch, "folder-"));
});

const names = async (): Promise<string[]> => (await readdir(folder)).sort();
const text = { contentType: "text/plain", ifAbsent: true };

it("an object is what its pieces are, small or not, also when their buffers are used again", async () => {
  const cache = new FileCache(folder);
  const sizes = fc.array(fc.oneof(fc.nat(64), fc.nat(70_000), fc.constantFrom(65_536, 131_072, 131_073)), {
    maxLength: 6,
  });
  let count = 0;
  await fc.assert(
    fc.asyncProperty(sizes, fc.boolean(), async (lengths, ifAbsent) => {
      const key = `nar/${++count}`;
      const pieces = lengths.map((length, index) => Buffer.alloc(length, index + 1));
      const lent = pieces.map((piece) => Buffer.from(piece));
      const body = {
        async *[Symbol.asyncIterator]() {
          yield* lent;
        },
        release: (piece: Uint8Array) => void piece.fill(0),
      };
      expect(await cache.put(key, body, { ...text, ifAbsent })).toBe("written");
      expect((await readFile(join(folder, key))).equals(Buffer.concat(pieces))).toBe(true);
    }),
    { numRuns: 60 },
  );
  expect(await readdir(join(folder, "nar"))).toHaveLength(count);
});

it("a body that breaks off leaves nothing, small or not", async () => {
  for (const length of [10, 200_000]) {
    async function* broken(): AsyncGenerator<Uint8Array> {
      yield Buffer.alloc(length);
      throw new Error("the sender is gone");
    }
    await expect(new FileCache(folder).put("nar", broken(), text)).rejects.toThrow("the sender is gone");
  }
  expect(await names()).toEqual([]);
});

it("an object is written while others are, and has its name after them", async () => {
  const cache = new FileCache(folder);
  const others = deferred();
  const put = cache.putAfter(others.promise, "last", Buffer.from("x"), text);
  await until("it is written", async () => (await names()).length === 1);
  expect(await names()).toEqual([expect.stringMatching(/^\.tmp-/)]);
  others.resolve();
  expect(await put).toBe("written");
  expect(await names()).toEqual(["last"]);
  expect(await cache.putAfter(Promise.resolve(), "last", Buffer.from("y"), text)).toBe("present");
});

it("an object does not appear, and leaves nothing, when the others fail", async () => {
  const failing = Promise.reject(new Error("no listing"));
  await expect(new FileCache(folder).putAfter(failing, "last", Buffer.from("x"), text)).rejects.toThrow(
    "no listing",
  );
  expect(await names()).toEqual([]);
});

/** A folder whose listings are written when the test says so. */
class SlowListings extends FileCache {
  readonly asked = deferred();
  readonly #allowed: () => Promise<void>;

  constructor(place: string, allowed: () => Promise<void>) {
    super(place);
    this.#allowed = allowed;
  }

  override async put(...[key, ...rest]: Parameters<FileCache["put"]>): Promise<"written" | "present"> {
    await this.#listing(key);
    return super.put(key, ...rest);
  }

  override async putAfter(
    ...[others, key, ...rest]: Parameters<FileCache["putAfter"]>
  ): Promise<"written" | "present"> {
    await this.#listing(key);
    return super.putAfter(others, key, ...rest);
  }

  async #listing(key: string): Promise<void> {
    if (!key.endsWith(".ls")) return;
    this.asked.resolve();
    await this.#allowed();
  }
}

const path = sample("a", file("hello world\n"));

function cacheOf(objects: ObjectStore, compression = "none"): BinaryCache {
  const uri = `file://${folder}`;
  const { settings } = parseCacheUri(`${uri}?write-nar-listing=1&compression=${compression}`);
  return new BinaryCache({ uri, objects, settings, storeDir: defaultStoreDir, signers: [] });
}

it("a narinfo appears after the listing, whichever is written first", async () => {
  const allowed = deferred();
  const objects = new SlowListings(folder, () => allowed.promise);
  const upload = cacheOf(objects).uploadPath(path.info, narsOf(path));
  await objects.asked.promise;
  await until("the narinfo is written", async () => (await names()).some((name) => name.startsWith(".tmp-")));
  expect((await names()).filter((name) => name.endsWith(".narinfo"))).toEqual([]);
  allowed.resolve();
  expect(await upload).toBe("uploaded");
  expect((await names()).map((name) => name.replace(/^.*\./, "")).sort()).toEqual(["ls", "nar", "narinfo"]);
});

it("a path whose listing cannot be written is not published", async () => {
  const objects = new SlowListings(folder, () => Promise.reject(new Error("disk full")));
  await expect(cacheOf(objects).uploadPath(path.info, narsOf(path))).rejects.toThrow("disk full");
  expect(await names()).toEqual(["nar"]);
});

/** A folder in which the end of a NAR's file is what the test says. */
class LateNars extends FileCache {
  readonly #end: (key: string, result: "written" | "present") => Promise<"written" | "present">;

  constructor(
    place: string,
    end: (key: string, result: "written" | "present") => Promise<"written" | "present">,
  ) {
    super(place);
    this.#end = end;
  }

  override async put(...[key, ...rest]: Parameters<FileCache["put"]>): Promise<"written" | "present"> {
    const result = await super.put(key, ...rest);
    return key.startsWith("nar/") ? this.#end(key, result) : result;
  }
}

it("narinfo and listing are written while the NAR is on its way to the disk, and appear after it", async () => {
  const allowed = deferred();
  const objects = new LateNars(folder, async (_, result) => {
    await allowed.promise;
    return result;
  });
  const upload = cacheOf(objects).uploadPath(path.info, narsOf(path));
  await until(
    "both are written",
    async () => (await names()).filter((name) => name.startsWith(".tmp-")).length === 2,
  );
  expect((await names()).filter((name) => !name.startsWith(".tmp-"))).toEqual(["nar"]);
  allowed.resolve();
  expect(await upload).toBe("uploaded");
  expect((await names()).map((name) => name.replace(/^.*\./, "")).sort()).toEqual(["ls", "nar", "narinfo"]);
});

it("nothing points to a NAR that did not reach the disk", async () => {
  const objects = new LateNars(folder, () => Promise.reject(new Error("disk full")));
  await expect(cacheOf(objects).uploadPath(path.info, narsOf(path))).rejects.toThrow("disk full");
  expect(await names()).toEqual(["nar"]);
});

it("a narinfo describes the file that another writer brought first", async () => {
  let other: Buffer = Buffer.alloc(0);
  const objects = new LateNars(folder, async (key) => {
    other = await bytesOf(compress(narsOf(path)(path.info.path), { method: "xz", level: 0 }));
    expect(other.equals(await readFile(join(folder, key)))).toBe(false);
    await writeFile(join(folder, key), other);
    return "present";
  });
  const cache = cacheOf(objects, "xz");
  expect(await cache.uploadPath(path.info, narsOf(path))).toBe("uploaded");
  const info = await cache.narInfo(path.info.path);
  expect(info?.fileSize).toBe(other.length);
  expect(info?.fileHash).toEqual(hashBytes("sha256", other));
  expect((await names()).some((name) => name.startsWith(".tmp-"))).toBe(false);
});
