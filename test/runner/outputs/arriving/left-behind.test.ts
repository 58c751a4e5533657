// What attempts leave in the store is deleted, unless an attempt may still prove it.
import { beforeEach, expect, test } from "vitest";
import { silentLogger } from "../../../../lib/log.js";
import { parseStorePath, type StorePath } from "../../../../lib/nix/path/store-path.js";
import { LeftBehind } from "../../../../lib/runner/outputs/arriving/left-behind.js";
import type { Attempt } from "../../../../lib/runner/state/attempts.js";
import { UnprovenPaths } from "../../../../lib/runner/state/unproven-paths.js";
import { attemptId } from "../../../../lib/scheduler/ids.js";

const path = (number: number): StorePath => parseStorePath(`${String(number).padStart(32, "0")}-left`);
const one = attemptId("11111111-1111-4111-8111-111111111111");

let valid: Set<StorePath>;
let deleted: StorePath[];
let remembered: readonly StorePath[];
let attempts: Attempt[];
let onDelete: (path: StorePath) => void | Promise<void>;

beforeEach(() => {
  valid = new Set();
  deleted = [];
  attempts = [];
  onDelete = () => {};
});

function left(paths: readonly StorePath[]): { unproven: UnprovenPaths; leftBehind: LeftBehind } {
  remembered = paths;
  for (const one of paths) valid.add(one);
  const unproven = new UnprovenPaths({
    before: paths,
    memory: {
      save: async (list) => {
        remembered = list();
      },
    },
    background: (work) => void work(),
  });
  const store = {
    isValidPath: async (one: StorePath) => valid.has(one),
    deletePath: async (one: StorePath) => {
      await onDelete(one);
      deleted.push(one);
      valid.delete(one);
    },
  };
  const leftBehind = new LeftBehind({
    store,
    unproven,
    attempts: { all: () => attempts },
    logger: silentLogger,
  });
  return { unproven, leftBehind };
}

test("the latest are deleted first, and then a later runner does not know them any more", async () => {
  const { unproven, leftBehind } = left([path(1), path(2)]);
  await leftBehind.deleteOnce();
  expect(deleted).toEqual([path(2), path(1)]);
  expect(unproven.has(path(1))).toBe(false);
  expect(remembered).toEqual([]);
});

test("what is not in the store is only forgotten", async () => {
  const { leftBehind } = left([path(1)]);
  valid.clear();
  await leftBehind.deleteOnce();
  expect(deleted).toEqual([]);
  expect(remembered).toEqual([]);
});

test("what the store does not let go stays unproven, is tried again, and does not hold up the others", async () => {
  const { unproven, leftBehind } = left([path(1), path(2)]);
  onDelete = (one) => {
    if (one === path(2)) throw new Error("still in use");
  };
  await leftBehind.deleteOnce();
  expect(deleted).toEqual([path(1)]);
  expect(unproven.has(path(2))).toBe(true);
  expect(remembered).toEqual([path(2)]);
  onDelete = () => {};
  await leftBehind.deleteOnce();
  expect(remembered).toEqual([]);
});

test("what an attempt claims or must make is left to it", async () => {
  const { unproven, leftBehind } = left([path(1), path(2)]);
  await unproven.arriving(path(1), [one]);
  attempts = [{ facts: { outputs: new Map([["out", path(2)]]) } } as unknown as Attempt];
  await leftBehind.deleteOnce();
  expect(deleted).toEqual([]);
  attempts = [];
  unproven.attemptOver(one);
  await leftBehind.deleteOnce();
  expect(new Set(deleted)).toEqual(new Set([path(1), path(2)]));
});

test("a path that is claimed while it is deleted stays unproven", async () => {
  const { unproven, leftBehind } = left([path(1)]);
  onDelete = (which) => unproven.arriving(which, [one]);
  await leftBehind.deleteOnce();
  expect(unproven.claims(path(1), one)).toBe(true);
});

test("only so many are deleted in a row, and none after the stop", async () => {
  const many = Array.from({ length: 60 }, (_, index) => path(index));
  const { leftBehind } = left(many);
  await leftBehind.deleteOnce();
  expect(deleted).toHaveLength(50);
  await leftBehind.deleteOnce(AbortSignal.abort());
  expect(deleted).toHaveLength(50);
  await leftBehind.deleteOnce();
  expect(deleted).toHaveLength(60);
  const stop = new AbortController();
  const running = leftBehind.run(stop.signal);
  stop.abort();
  await running;
});
