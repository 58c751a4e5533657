/** Logs of the API: which try they belong to, parts of them, compressed ones, and those that grow. */
import { execFileSync } from "node:child_process";
import { appendFile, mkdtemp, rename, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { followLog, logFiles, logLength, readLog } from "../../../lib/runner/outputs/logs/log-files.js";
import { matchLogs, parseRange } from "../../../lib/status/api/logs.js";
import type { AttemptRecord, LogRecord } from "../../../lib/status/index.js";
import { load } from "../../scheduler/world.js";
import { drvOf, openFarm } from "./farm.js";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "logs-"));
});
afterEach(() => rm(folder, { recursive: true }));

async function list(path: string): Promise<LogRecord[]> {
  const files = await logFiles(path);
  return files.map((file, index) => ({
    modifiedAt: file.modifiedAt,
    isNewest: index === files.length - 1,
    read: (part) => readLog(file, part),
    length: () => logLength(file),
    follow: (part) => followLog(file, part),
  }));
}

const attempt = (number: number, startedAt: number): AttemptRecord => ({
  drv: drvOf("hello"),
  build: 1,
  job: "hello",
  try: number,
  machine: "vm",
  system: "x86_64-linux",
  startedAt,
  stoppedAt: startedAt + 5_000,
  status: 0,
  error: undefined,
});

describe("/api/steps/{drv}/log", () => {
  it("gives the log of each try in whatever form it is, and parts of it", async () => {
    const path = join(folder, "log");
    const text = Array.from({ length: 2_000 }, (_, n) => `line ${n}\n`).join("");
    await writeFile(`${path}.try1`, "first try\n");
    await writeFile(`${path}.try2`, text);
    await writeFile(path, `${text}last`);
    await utimes(`${path}.try1`, 12, 12);
    await utimes(`${path}.try2`, 22, 22);
    await utimes(path, 42, 42);
    execFileSync("bzip2", [`${path}.try2`]);
    execFileSync("zstd", ["-q", "--rm", path]);
    await using farm = await openFarm({
      api: {
        logs: { list: () => list(path) },
        // The third try never got as far as to write a log.
        records: {
          tries: async () => [attempt(4, 40_000), attempt(3, 30_000), attempt(2, 20_000), attempt(1, 10_000)],
        },
      },
    });
    const ask = (query: string, range?: string) =>
      farm.ask(
        "GET",
        `/api/steps/${drvOf("hello")}/log${query}`,
        range === undefined ? {} : { headers: { range } },
      );
    expect(await ask("")).toMatchObject({ status: 200, text: `${text}last` });
    expect(await ask("?try=1")).toMatchObject({ status: 200, text: "first try\n" });
    expect((await ask("?try=2")).text).toBe(text);
    expect((await ask("?try=4")).text).toBe(`${text}last`);
    expect(await ask("?try=3")).toMatchObject({
      status: 404,
      text: '{"error":"this try has no log","code":"not-found"}',
    });
    for (const number of [2, 4]) {
      const part = await ask(`?try=${number}`, "bytes=5-13");
      expect(part).toMatchObject({ status: 206, text: text.slice(5, 14) });
      expect(part.headers["content-range"]).toBe(`bytes 5-13/${text.length + (number === 4 ? 4 : 0)}`);
    }
    expect((await ask("", "bytes=-6")).text).toBe("9\nlast");
    expect(await ask("", "bytes=999999-")).toMatchObject({ status: 416, json: { code: "range" } });
    expect(await ask("?try=0")).toMatchObject({ status: 400 });
    expect(await ask("?follow=2")).toMatchObject({ status: 400 });
    expect((await ask("", "bytes=5-2")).status).toBe(200);
  });

  it("follows a log to the end of its try, also when the file gets another name", async () => {
    const path = join(folder, "log");
    await using farm = await openFarm({ api: { logs: { list: () => list(path) } } });
    const { world } = farm;
    world.now = Date.now();
    world.machine("vm");
    world.scheduler.updateMachine("vm" as never, load, world.now);
    farm.step("hello");
    farm.build(1, "hello");
    const [assignment] = world.assign();
    await writeFile(path, "one\n");
    const answer = farm.ask("GET", `/api/steps/${drvOf("hello")}/log?follow=1&offset=1`);
    await expect.poll(async () => (await logFiles(path)).length).toBe(1);
    await new Promise((resolve) => setTimeout(resolve, 300));
    await appendFile(path, "two\n");
    await new Promise((resolve) => setTimeout(resolve, 300));
    await rename(path, `${path}.try1`);
    await appendFile(`${path}.try1`, "three\n");
    if (assignment === undefined) throw new Error("nothing was assigned");
    world.scheduler.complete(assignment.attempt, { kind: "succeeded" }, world.now, () => 0);
    expect(await answer).toMatchObject({ status: 200, text: "ne\ntwo\nthree\n" });
  });

  it("says what is missing and what is no derivation", async () => {
    await using farm = await openFarm({ api: { logs: { list: () => list(join(folder, "none", "log")) } } });
    expect(await farm.ask("GET", `/api/steps/${drvOf("hello")}/log`)).toMatchObject({
      status: 404,
      json: { error: "this step has no log", code: "not-found" },
    });
    expect(await farm.ask("GET", "/api/steps/hello/log")).toMatchObject({ status: 400 });
    expect(await farm.ask("GET", "/api/steps/..%2f..%2fetc%2fpasswd/log")).toMatchObject({ status: 400 });
  });
});

describe("parts", () => {
  it.each([
    ["bytes=0-0", { start: 0, end: 1 }],
    ["bytes=5-", { start: 5, end: 10 }],
    ["bytes=5-100", { start: 5, end: 10 }],
    ["bytes=-3", { start: 7, end: 10 }],
    ["bytes=-30", { start: 0, end: 10 }],
    ["bytes=-", undefined],
    ["bytes=0-1,3-4", undefined],
    ["lines=0-1", undefined],
    [undefined, undefined],
  ])("%s of ten bytes", (header, range) => {
    expect(parseRange(header, 10)).toEqual(range);
  });

  it("a log that is newer than its try but older than the next belongs to it", () => {
    const log = (modifiedAt: number) => ({ modifiedAt }) as LogRecord;
    const found = matchLogs([attempt(1, 10_000), attempt(2, 20_000)], [log(9_000), log(19_999), log(20_000)]);
    expect([...found].map(([number, { modifiedAt }]) => [number, modifiedAt])).toEqual([
      [1, 19_999],
      [2, 20_000],
    ]);
  });
});
