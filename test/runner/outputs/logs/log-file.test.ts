// Logs on a disk that fails: nothing rejects, what is missing is noted, and writing goes on.
import { mkdtemp, open, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { sleep } from "../../../../lib/async/index.js";
import { silentLogger } from "../../../../lib/log.js";
import type { StorePath } from "../../../../lib/nix/path/store-path.js";
import { FileLogWriter, type LogFile } from "../../../../lib/runner/outputs/logs/log-file.js";
import { LogStore } from "../../../../lib/runner/outputs/logs/log-store.js";

const drv = "0c4gxiv7kzkhz7k5zkyhd0b4v8dbkqyw-hello.drv" as StorePath;
let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "log-file-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: the test`), { code, syscall: "write" });
}

/** A disk that can be full; a write to a full one may still take some bytes. */
class Disk implements LogFile {
  full = false;
  room = 0;
  text = "";

  async write(bytes: Uint8Array, offset: number): Promise<{ readonly bytesWritten: number }> {
    if (this.full && this.room === 0) throw systemError("ENOSPC");
    const part = bytes.subarray(offset, this.full ? offset + this.room : undefined);
    if (this.full) this.room -= part.length;
    this.text += Buffer.from(part).toString();
    return { bytesWritten: part.length };
  }

  async close(): Promise<void> {
    if (this.full) throw systemError("ENOSPC");
  }
}

const writer = (file: LogFile, patienceMs: number): FileLogWriter =>
  new FileLogWriter({ path: "/log", file, maxBytes: 0, logger: silentLogger, patienceMs });

test("a disk that is full for a moment costs nothing", async () => {
  const disk = new Disk();
  const log = writer(disk, 5_000);
  await log.write(Buffer.from("one\n"));
  disk.full = true;
  disk.room = 2;
  const writing = log.write(Buffer.from("two\n"));
  await sleep(300);
  disk.full = false;
  await writing;
  await log.close();
  expect(disk.text).toBe("one\ntwo\n");
});

test("text that finds no room is left out with a note, and the log goes on", async () => {
  const disk = new Disk();
  const log = writer(disk, 300);
  disk.full = true;
  await log.write(Buffer.from("lost\n"));
  const began = Date.now();
  for (let line = 0; line < 100; line++) await log.write(Buffer.from("lost\n"));
  expect(Date.now() - began).toBeLessThan(1_000);
  disk.full = false;
  await sleep(250);
  await log.write(Buffer.from("back\n"));
  await log.close();
  expect(disk.text).toMatch(/^\n\[505 bytes of the log could not be written: ENOSPC: the test\]\nback\n$/);
});

test("a log whose disk stays full ends all the same", async () => {
  const disk = new Disk();
  disk.full = true;
  const log = writer(disk, 100);
  await log.write(Buffer.from("lost\n"));
  await log.close();
  expect(disk.text).toBe("");
});

test("a log that finds no file descriptor is opened when there is one", async () => {
  let lacking = 3;
  const logs = new LogStore({
    directory: folder,
    maxBytes: 0,
    openFile: (path) => (lacking-- > 0 ? Promise.reject(systemError("EMFILE")) : open(path, "w")),
  });
  const log = await logs.create(drv);
  await log.write(Buffer.from("hello\n"));
  await log.close();
  expect(await readFile(logs.pathOf(drv), "utf8")).toBe("hello\n");
});

test("a log that cannot be opened is left out", async () => {
  const logs = new LogStore({
    directory: folder,
    maxBytes: 0,
    openFile: () => Promise.reject(systemError("EACCES")),
  });
  const log = await logs.create(drv);
  await log.write(Buffer.from("hello\n"));
  await log.close();
});

test("every name made from the longest derivation name is legal", async () => {
  const longest = `${"a".repeat(32)}-${"n".repeat(207)}.drv` as StorePath;
  const logs = new LogStore({ directory: folder, maxBytes: 0 });
  for (let attempt = 0; attempt < 12; attempt++) {
    const log = await logs.create(longest);
    await log.write(Buffer.alloc(20_000, "x"));
    await log.close();
    await logs.finish(longest);
  }
  expect(await logs.size(longest)).toBeUndefined();
});
