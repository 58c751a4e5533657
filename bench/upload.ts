/**
 * Paths of a store into binary caches: a folder and a bucket, zstd and xz, and `nix copy` of the same paths into a folder
 * (not every Nix can write into buckets), one after the other in each round.
 *
 * `npm run bench -- upload [scale] [rounds]`: 1,000 paths and 2 GB times the scale (default 0.1), half random bytes and
 * half text; xz, which is slow on either side, gets a quarter of them. Three rounds.
 */
import { once } from "node:events";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { openBinaryCache } from "../lib/binary-cache/index.js";
import { lendingStream } from "../lib/compression/index.js";
import { openStore } from "../lib/nix/index.js";
import { parseFullStorePath } from "../lib/nix/path/store-path.js";
import type { ValidPathInfo } from "../lib/nix/store/path-info.js";
import { startNixStore, type TestNixStore } from "../test/support/nix.js";
import type { Benchmark, Result } from "./benchmark.js";
import { median } from "./farm.js";
import type { S3Host } from "./s3-host.js";
import { megabyte, writeSource } from "./source-files.js";

const pathCount = 1_000;
const totalMegabytes = 2_000;
/** The part of the paths that xz gets. */
const xzPart = 0.25;

interface Case {
  readonly place: "folder" | "bucket";
  readonly method: "zstd" | "xz";
  /** Of our throughput to that of `nix copy`. */
  readonly goal: number;
}

const cases: readonly Case[] = [
  { place: "folder", method: "zstd", goal: 1.5 },
  { place: "folder", method: "xz", goal: 1 },
  { place: "bucket", method: "zstd", goal: 1.5 },
  { place: "bucket", method: "xz", goal: 1 },
];

async function secondsOf(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await work();
  return (performance.now() - started) / 1000;
}

/** Full paths. */
async function addPaths(
  store: TestNixStore,
  folder: string,
  count: number,
  bytes: number,
): Promise<string[]> {
  await writeSource(folder, bytes, count);
  const files = Array.from({ length: count }, (_, n) => join(folder, `${n}`));
  return (await store.run("nix-store", ["--add", ...files])).trim().split("\n");
}

function uriOf({ place, method }: Case, folder: string, host: S3Host): string {
  if (place === "folder") return `file://${folder}?compression=${method}`;
  const endpoint = new URL(host.url).host;
  return `s3://cache?endpoint=${endpoint}&scheme=http&region=eu-west-1&compression=${method}`;
}

async function startHost(): Promise<{ readonly worker: Worker; readonly host: S3Host }> {
  const worker = new Worker(new URL("./s3-host.js", import.meta.url));
  const [host] = (await once(worker, "message")) as [S3Host];
  return { worker, host };
}

interface Timed {
  readonly ours: number;
  readonly nixCopy: number;
}

async function oneRound(
  one: Case,
  folder: string,
  store: TestNixStore,
  paths: readonly string[],
): Promise<Timed> {
  // A bucket of its own for each round: nothing is found there.
  const { worker, host } = await startHost();
  const nix = await openStore(store.remote);
  Object.assign(process.env, {
    AWS_ACCESS_KEY_ID: host.accessKeyId,
    AWS_SECRET_ACCESS_KEY: host.secretAccessKey,
  });
  try {
    const wanted = paths.map((path) => parseFullStorePath(nix.storeDir, path));
    const infos: readonly ValidPathInfo[] = [...(await nix.queryPathInfos(wanted)).values()].filter(
      (info) => info !== undefined,
    );
    await mkdir(folder, { recursive: true });
    const cache = await openBinaryCache(uriOf(one, join(folder, "ours"), host), { storeDir: nix.storeDir });
    const ours = await secondsOf(() =>
      cache.uploadClosure(infos, (path) =>
        // As the runner's upload jobs have it.
        lendingStream(() => nix.narFromPath(path, { pieces: "lent" })),
      ),
    );
    cache.close();
    const target = `file://${join(folder, "yardstick")}?compression=${one.method}`;
    const flags = ["--extra-experimental-features", "nix-command", "copy", "--no-check-sigs"];
    const nixCopy = await secondsOf(() => store.run("nix", [...flags, "--to", target, ...paths]));
    return { ours, nixCopy };
  } finally {
    await nix.close();
    await worker.terminate();
    await rm(folder, { recursive: true, force: true });
  }
}

export const run: Benchmark = async ([scale = "0.1", rounds = "3"]) => {
  const folder = await mkdtemp(join(tmpdir(), "hydra-upload-"));
  const store = await startNixStore({ directory: folder, name: "store" });
  const results: Result[] = [];
  try {
    const count = Math.max(4, Math.round(pathCount * Number(scale)));
    const size = totalMegabytes * Number(scale);
    const all = await addPaths(store, join(folder, "source"), count, size * megabyte);
    for (const one of cases) {
      const part = one.method === "xz" ? xzPart : 1;
      const paths = all.slice(0, Math.max(1, Math.round(count * part)));
      const megabytes = (size * paths.length) / count;
      const timed: Timed[] = [];
      for (let round = 0; round < Number(rounds); round++) {
        timed.push(await oneRound(one, join(folder, `round-${round}`), store, paths));
      }
      results.push({
        figure: `${paths.length} paths into a ${one.place}, ${one.method}`,
        value: median(timed.map(({ ours }) => megabytes / ours)),
        unit: "MB/s",
        yardstick: {
          name: "nix copy to a folder",
          value: median(timed.map(({ nixCopy }) => megabytes / nixCopy)),
        },
        goal: { of: "ratio", bound: "at least", limit: one.goal },
      });
    }
    return results;
  } finally {
    await store.close();
    await rm(folder, { recursive: true, force: true });
  }
};
