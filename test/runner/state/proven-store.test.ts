// For everybody but those who take paths in, an unproven path is not valid, whichever way the store is asked.
import { beforeEach, expect, test } from "vitest";
import { defaultStoreDir, parseStorePath, type StorePath } from "../../../lib/nix/path/store-path.js";
import type { ValidPathInfo } from "../../../lib/nix/store/path-info.js";
import { ProvenStore } from "../../../lib/runner/state/proven-store.js";
import type { RawStore } from "../../../lib/runner/state/runner-store.js";
import { file, sample } from "../../binary-cache/samples.js";

const proven = sample("a", file("proven")).info;
const doubtful = sample("b", file("doubtful")).info;
const above = sample("c", file("above"), [proven.path, doubtful.path]).info;
const all: ReadonlyMap<StorePath, ValidPathInfo> = new Map(
  [proven, doubtful, above].map((info) => [info.path, info]),
);

const unproven = new Set<StorePath>();
/** Runs while the raw store looks for its answer. */
let meanwhile: () => void;
let roots: string[];
beforeEach(() => {
  unproven.clear();
  unproven.add(doubtful.path);
  meanwhile = () => {};
  roots = [];
});

async function answer<T>(value: T): Promise<T> {
  await Promise.resolve();
  meanwhile();
  return value;
}

const text = parseStorePath(`${"d".repeat(32)}-text`);
const raw: Partial<RawStore> = {
  storeDir: defaultStoreDir,
  realStoreDir: "/real",
  isValidPath: (path) => answer(all.has(path)),
  queryValidPaths: (paths) => answer(new Set(paths.filter((path) => all.has(path)))),
  queryPathInfos: (paths) =>
    answer(
      new Map(
        paths.flatMap((path) => {
          const info = all.get(path);
          return info === undefined ? [] : [[path, info] as const];
        }),
      ),
    ),
  closure: (paths) => answer(paths.length === 0 ? [] : [...all.values()]),
  narFromPath: async function* (path) {
    yield Buffer.from(path);
  },
  ensurePath: () => answer(undefined),
  readDerivation: () => Promise.reject(new Error("no derivation")),
  addTextToStore: () => answer(text),
  addPermRoot: async (path, link) => void roots.push(`${link} ${path}`),
};
const store = new ProvenStore(raw as RawStore, {
  has: (path) => unproven.has(path),
  forget: (paths) => {
    for (const path of paths) unproven.delete(path);
  },
});
const both = [proven.path, doubtful.path];

test("questions are answered without unproven paths", async () => {
  expect(store.storeDir).toBe(defaultStoreDir);
  expect(store.realStoreDir).toBe("/real");
  expect(await store.isValidPath(proven.path)).toBe(true);
  expect(await store.isValidPath(doubtful.path)).toBe(false);
  expect([...(await store.queryValidPaths(both))]).toEqual([proven.path]);
  expect([...(await store.queryPathInfos(both)).keys()]).toEqual([proven.path]);
  expect(await store.closure([doubtful.path])).toEqual([]);
  expect(await store.closure([doubtful])).toEqual([]);
  expect((await store.closure([above.path])).map(({ path }) => path)).toEqual([proven.path, above.path]);
});

test("a path that becomes unproven while the store is asked is left out", async () => {
  const questions = [
    () => store.isValidPath(proven.path).then((valid) => (valid ? [proven.path] : [])),
    () => store.queryValidPaths(both).then((valid) => [...valid]),
    () => store.queryPathInfos(both).then((infos) => [...infos.keys()]),
    () => store.closure([proven.path]).then((infos) => infos.map(({ path }) => path)),
  ];
  for (const question of questions) {
    unproven.delete(proven.path);
    meanwhile = () => unproven.add(proven.path);
    expect(await question()).not.toContain(proven.path);
  }
});

test("an unproven path can be neither read nor fetched", async () => {
  const refused = { code: "invalid-path" };
  expect(() => store.narFromPath(doubtful.path)).toThrow(expect.objectContaining(refused));
  await expect(store.readDerivation(doubtful.path)).rejects.toMatchObject(refused);
  await expect(store.ensurePath(doubtful.path)).rejects.toMatchObject(refused);
  await store.ensurePath(proven.path);
  const parts: string[] = [];
  for await (const chunk of store.narFromPath(proven.path)) parts.push(Buffer.from(chunk).toString());
  expect(parts).toEqual([proven.path]);
});

test("text of our own is proven, also when a builder sent it before", async () => {
  unproven.add(text);
  expect(await store.addTextToStore("text", Buffer.from("ours"), [])).toBe(text);
  expect(unproven.has(text)).toBe(false);
});

test("roots are made as asked", async () => {
  await store.addPermRoot(proven.path, "/roots/a");
  expect(roots).toEqual([`/roots/a ${proven.path}`]);
});
