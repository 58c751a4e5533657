// The limit of open files, as the kernel tells it and as it is applied to the programs.
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { openFilesLimit, requireOpenFiles } from "../../lib/process/index.js";

const run = promisify(execFile);

test("the soft limit is read", () => {
  const line = "Max open files            1024                 524288               files     ";
  expect(openFilesLimit(`Limit  Soft Limit\n${line}\n`)).toBe(1024);
  expect(openFilesLimit(line.replace("1024  ", "unlimited"))).toBeUndefined();
  expect(openFilesLimit("")).toBeUndefined();
});

test("enough is enough, too little is one line", async () => {
  const { stdout } = await run("sh", ["-c", "ulimit -n"]);
  const limit = Number(stdout.trim());
  expect(() => requireOpenFiles(8, "a = 1")).not.toThrow();
  if (!Number.isSafeInteger(limit)) return;
  expect(() => requireOpenFiles(2 ** 40, "a = 1")).toThrow(
    /^at most \d+ files can be open, .*a = 1.*LimitNOFILE/,
  );
});
