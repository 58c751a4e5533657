import { execFileSync } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { StorePath } from "../../../../lib/nix/path/store-path.js";
import { keepEarlierTry, type LogFolder } from "../../../../lib/runner/outputs/logs/earlier-tries.js";
import { LogStore } from "../../../../lib/runner/outputs/logs/log-store.js";

const drv = "0c4gxiv7kzkhz7k5zkyhd0b4v8dbkqyw-hello.drv" as StorePath;
let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "log-store-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function write(logs: LogStore, text: string): Promise<string> {
  const writer = await logs.create(drv);
  await writer.write(Buffer.from(text));
  await writer.close();
  return writer.path;
}

test("the front-end's path: two characters, then the rest of the base name", async () => {
  const logs = new LogStore({ directory: folder, maxBytes: 0 });
  const path = await write(logs, "hello\n");
  expect(path).toBe(join(folder, "0c", "4gxiv7kzkhz7k5zkyhd0b4v8dbkqyw-hello.drv"));
  expect(await readFile(path, "utf8")).toBe("hello\n");
  expect(await logs.size(drv)).toBe(6);
});

test("a log can be read while it is written", async () => {
  const writer = await new LogStore({ directory: folder, maxBytes: 0 }).create(drv);
  await writer.write(Buffer.from("first\n"));
  expect(await readFile(writer.path, "utf8")).toBe("first\n");
  await writer.close();
});

test("earlier tries are kept beside the newest, the oldest go first", async () => {
  const logs = new LogStore({ directory: folder, maxBytes: 0, keepTries: 2 });
  for (const text of ["one", "two", "three", "four"]) await write(logs, text);
  const path = logs.pathOf(drv);
  expect(await readFile(path, "utf8")).toBe("four");
  expect((await readdir(dirname(path))).length).toBe(3);
  expect(await readFile(`${path}.try3`, "utf8")).toBe("three");
  expect(await readFile(`${path}.try2`, "utf8")).toBe("two");
});

test("a folder is listed only for a log that has an earlier try", async () => {
  const logs = new LogStore({ directory: folder, maxBytes: 0 });
  const path = await write(logs, "one\n");
  const other = `${path}-other`;
  const calls = { stat: 0, list: 0 };
  const counted: LogFolder = {
    stat: (file) => {
      calls.stat++;
      return stat(file);
    },
    list: (parent) => {
      calls.list++;
      return readdir(parent);
    },
  };
  await keepEarlierTry(other, 9, counted);
  expect(calls).toEqual({ stat: 3, list: 0 });
  await keepEarlierTry(path, 9, counted);
  expect(calls).toEqual({ stat: 6, list: 1 });
  expect(await readFile(`${path}.try1`, "utf8")).toBe("one\n");
});

test("what is beyond the bound is dropped with a note", async () => {
  const path = await write(new LogStore({ directory: folder, maxBytes: 5 }), "0123456789");
  expect(await readFile(path, "utf8")).toBe("01234\n[log cut after 5 bytes]\n");
});

test("a finished log of some size is kept compressed, and moves aside like any other", async () => {
  const logs = new LogStore({ directory: folder, maxBytes: 0 });
  const text = "building\n".repeat(10_000);
  const path = await write(logs, text);
  await logs.finish(drv);
  const { dir, base } = { dir: dirname(path), base: path.slice(dirname(path).length + 1) };
  expect(await readdir(dir)).toEqual([`${base}.zst`]);
  expect(zstdDecompress(`${path}.zst`)).toBe(text);
  await write(logs, "second\n");
  await logs.finish(drv);
  expect((await readdir(dir)).sort()).toEqual([base, `${base}.try1.zst`]);
});

function zstdDecompress(file: string): string {
  return execFileSync("zstd", ["-dc", file], { encoding: "utf8", maxBuffer: 1 << 24 });
}
