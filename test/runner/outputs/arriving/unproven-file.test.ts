// The list of unproven paths between two lives of a runner, and when the disk takes nothing.
import { appendFile, chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createLogger } from "../../../../lib/log.js";
import { parseStorePath } from "../../../../lib/nix/path/store-path.js";
import { UnprovenFile } from "../../../../lib/runner/outputs/arriving/unproven-file.js";
import { until } from "../../../support/until.js";

const a = parseStorePath(`${"a".repeat(32)}-first`);
const b = parseStorePath(`${"b".repeat(32)}-second`);

let folder: string;
let path: string;
let lines: string[];
let opened: UnprovenFile[];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "unproven-"));
  path = join(folder, "queue-runner", "unproven-paths");
  lines = [];
  opened = [];
});
afterEach(async () => {
  for (const one of opened) await one.close();
  await rm(folder, { recursive: true, force: true });
});

function open(stopped?: AbortSignal): UnprovenFile {
  const logger = createLogger({ target: "test", write: (line) => void lines.push(line) });
  const file = new UnprovenFile({ path, logger, random: () => 0, stopped });
  opened.push(file);
  return file;
}

test("what one runner saves the next one loads; without a file it is nothing", async () => {
  expect(await open().load()).toEqual([]);
  await open().save(() => [a, b]);
  expect(await open().load()).toEqual([a, b]);
  await open().save(() => []);
  expect(await open().load()).toEqual([]);
  expect(await readdir(join(folder, "queue-runner"))).toEqual(["unproven-paths"]);
});

test("what changes is appended, and a line that was cut off is not there", async () => {
  const saving = open();
  await saving.save(() => [a]);
  await saving.save(() => [a, b]);
  await saving.save(() => [b]);
  expect(await readFile(path, "utf8")).toBe(`${a}\n${b}\n-${a}\n`);
  expect(await open().load()).toEqual([b]);
  await saving.save(() => [a, b]);
  expect(await open().load()).toEqual([b, a]);
  await saving.close();
  await appendFile(path, `-${b}`);
  expect(await open().load()).toEqual([b, a]);
  await saving.save(() => [a]);
  expect(await readFile(path, "utf8")).toBe(`${a}\n`);
});

test("a file of lines that are over is replaced", async () => {
  const saving = open();
  for (let round = 0; round < 1_100; round++) await saving.save(() => (round % 2 === 0 ? [a] : [b]));
  expect((await readFile(path, "utf8")).split("\n").length).toBeLessThan(1_010);
  expect(await open().load()).toEqual([b]);
});

test("what is saved after the close is written", async () => {
  const saving = open();
  await saving.save(() => [a]);
  await saving.close();
  await saving.save(() => [a, b]);
  expect(await open().load()).toEqual([a, b]);
  await saving.close();
});

test("saves at the same time end with the last list", async () => {
  const saving = open();
  let paths = [a];
  const all = [saving.save(() => paths), saving.save(() => paths)];
  paths = [a, b];
  await Promise.all([...all, saving.save(() => paths)]);
  expect(await open().load()).toEqual([a, b]);
});

test("a file that is something else ends the start with its name", async () => {
  await mkdir(join(folder, "queue-runner"));
  await writeFile(path, "no store path\n");
  await expect(open().load()).rejects.toThrow(path);
});

/** Something stands where the file has to be written. */
async function obstruct(): Promise<() => Promise<void>> {
  const temporary = `${path}.tmp`;
  await mkdir(temporary, { recursive: true });
  await chmod(temporary, 0o700);
  return () => rm(temporary, { recursive: true });
}

test("a disk that takes nothing is waited for, and then the newest list is written", async () => {
  const free = await obstruct();
  const saving = open();
  let paths = [a];
  let saved = false;
  const save = saving
    .save(() => paths)
    .then(() => {
      saved = true;
    });
  await until("a warning", () => lines.find((line) => line.includes("cannot be written")));
  expect(saved).toBe(false);
  paths = [b];
  await free();
  await save;
  expect(await readFile(path, "utf8")).toBe(`${b}\n`);
});

test("a caller that waits for the disk can leave, and the stop of the runner ends the waiting", async () => {
  await obstruct();
  const stop = new AbortController();
  const leave = new AbortController();
  const saving = open(stop.signal);
  const left = saving.save(() => [a], leave.signal);
  const waits = saving.save(() => [a]);
  leave.abort(new Error("the peer left"));
  await expect(left).rejects.toThrow("the peer left");
  const stopped = expect(waits).rejects.toThrow("stopped");
  stop.abort(new Error("stopped"));
  await stopped;
});
