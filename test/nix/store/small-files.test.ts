import { execFileSync } from "node:child_process";
import { mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { SmallFiles } from "../../../lib/nix/store/small-files.js";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "small-files-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

test("every file has its own contents, byte for byte, whether it is small or not", async () => {
  const files = await Promise.all(
    Array.from({ length: 300 }, async (_, n) => {
      const path = join(folder, `${n}`);
      const contents = Buffer.alloc(n % 100 === 0 ? 70_000 + n : n, n % 256);
      await writeFile(path, contents);
      return { path, contents: contents.toString("latin1") };
    }),
  );
  const reader = new SmallFiles();
  const read = await Promise.all(files.map(({ path }) => reader.read(path)));
  expect(read).toStrictEqual(files.map(({ contents }) => contents));
  for (const { path, contents } of files) expect(await reader.read(path)).toBe(contents);
  expect(reader.reads).toBe(600);
});

test("other work of the event loop goes on between slices of reads", async () => {
  const path = join(folder, "file");
  await writeFile(path, "x".repeat(2_000));
  const reader = new SmallFiles();
  let turns = 0;
  let reading = true;
  const count = (): void => {
    turns++;
    if (reading) setImmediate(count);
  };
  setImmediate(count);
  await Promise.all(
    Array.from({ length: 32 }, async () => {
      for (let n = 0; n < 200; n++) {
        await reader.read(path);
        // The work on what was read is part of the slice.
        const until = performance.now() + 0.05;
        while (performance.now() < until);
      }
    }),
  );
  reading = false;
  // 6,400 × 0.05 ms is at least 64 slices of 5 ms.
  expect(turns).toBeGreaterThan(60);
});

test("a missing file, a folder and a link are refused, at once and again", async () => {
  const reader = new SmallFiles();
  await writeFile(join(folder, "file"), "contents");
  await symlink(join(folder, "file"), join(folder, "link"));
  for (let round = 0; round < 2; round++) {
    await expect(reader.read(join(folder, "none"))).rejects.toMatchObject({ code: "ENOENT" });
    await expect(reader.read(folder)).rejects.toMatchObject({ code: "EISDIR" });
    await expect(reader.read(join(folder, "link"))).rejects.toMatchObject({ code: "ELOOP" });
    expect(await reader.read(join(folder, "file"))).toBe("contents");
  }
});

test("a pipe that no program writes to is not waited for", async () => {
  const pipe = join(folder, "pipe");
  execFileSync("mkfifo", [pipe]);
  const reader = new SmallFiles();
  await writeFile(join(folder, "file"), "contents");
  for (let round = 0; round < 3; round++) {
    expect(await reader.read(pipe)).toBe("");
    expect(await reader.read(join(folder, "file"))).toBe("contents");
  }
});

test("an aborted read rejects with the reason, and the others do not", async () => {
  const path = join(folder, "file");
  await writeFile(path, "contents");
  const reader = new SmallFiles();
  const abort = new AbortController();
  const [first, second, third] = [
    reader.read(path, abort.signal),
    reader.read(path, abort.signal),
    reader.read(path),
  ];
  abort.abort(new Error("enough"));
  const ends = await Promise.allSettled([first, second, third]);
  expect(ends.map(({ status }) => status)).toStrictEqual(["rejected", "rejected", "fulfilled"]);
});
