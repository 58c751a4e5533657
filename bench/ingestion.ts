/**
 * A large queue read into memory: the runner's own monitor, ingestion and scheduler against a real database, with the
 * derivations at hand as texts. Prints how long the first pass and one without changes take, the longest time the event
 * loop stood still in each, and what a step costs in memory.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { Secret } from "../lib/config/index.js";
import { openHydraDatabase } from "../lib/database/index.js";
import { silentLogger } from "../lib/log.js";
import {
  byteStringFromText,
  byteStringToBytes,
  type Derivation,
  defaultStoreDir,
  hashBytes,
  parseDerivation,
  printDerivation,
  printHash,
  printStorePath,
  type StorePath,
} from "../lib/nix/index.js";
import { assemble } from "../lib/runner/assembly.js";
import type { RawStore } from "../lib/runner/state/runner-store.js";
import { defaultConfig, idleEdges } from "../test/support/idle-runner.js";
import type { Benchmark } from "./benchmark.js";
import { makeGraph } from "./derivation-graph.js";
import { LoopWatch } from "./loop-watch.js";

/** `steps`: derivations of the collection. A third of them are jobs of their own. */
export const run: Benchmark = async ([steps = "60000"]) => {
  const collection = makeCollection(Number(steps));
  const jobs = [...collection.keys()].filter((_, index) => index % 3 === 2);
  const folder = await mkdtemp(join(tmpdir(), "hydra-bench-"));
  const database = await openHydraDatabase({ url: "embedded:", dataDir: folder });
  try {
    await database.transaction((session) =>
      session.query(
        `INSERT INTO builds (finished, timestamp, jobset_id, job, nixname, drvpath, system, priority, globalpriority)
         SELECT 0, 1700000000 + n, 1, 'job-' || n, 'job', drv, 'x86_64-linux', 100, 0
           FROM unnest($1::text[]) WITH ORDINALITY AS job(drv, n)`,
        [jobs.map((drv) => printStorePath(defaultStoreDir, drv))],
      ),
    );
    globalThis.gc?.();
    const before = process.memoryUsage().heapUsed;
    const parts = assemble({
      config: () => defaults,
      store: storeOf(collection),
      database,
      listener: { onChange: () => () => {}, onResync: () => () => {} },
      logger: silentLogger,
      clock: { now: Date.now, random: Math.random },
      openEdges: () => idleEdges,
    });
    const pass = async (done: () => boolean): Promise<{ seconds: number; longestMs: number }> => {
      using watch = new LoopWatch();
      const started = performance.now();
      parts.monitor.trigger();
      while (!done()) await turn();
      return { seconds: (performance.now() - started) / 1000, longestMs: watch.longestBlockMs };
    };
    parts.monitor.start();
    const first = await pass(() => parts.monitor.loaded);
    const { builds, steps: inMemory } = parts.scheduler.view.sizes();
    globalThis.gc?.();
    const memory = process.memoryUsage().heapUsed - before;
    const passes = parts.metrics.value("queueChecksFinished");
    const idle = await pass(() => parts.metrics.value("queueChecksFinished") > passes);
    await parts.monitor.close();
    parts.dispatcher.close();
    return {
      "builds in the queue": builds,
      "steps in memory": inMemory,
      "first pass, s": first.seconds,
      "builds per second": builds / first.seconds,
      "first pass, longest block of the event loop, ms": first.longestMs,
      "pass without changes, s": idle.seconds,
      "pass without changes, longest block, ms": idle.longestMs,
      "heap per step, kB": memory / 1024 / inMemory,
    };
  } finally {
    await database.close();
    await rm(folder, { recursive: true, force: true });
  }
};

function pathOf(name: string): StorePath {
  const hash = printHash(hashBytes("sha256", Buffer.from(name)), "nix32", false);
  return `${hash.slice(0, 32)}-${name}` as StorePath;
}

/** Texts of derivations by path. */
function makeCollection(steps: number): Map<StorePath, Uint8Array> {
  const text = byteStringFromText;
  const nodes = makeGraph({ steps, seed: 1 });
  const paths = nodes.map((node) => pathOf(`${node.name}.drv`));
  return new Map(
    nodes.map((node, index) => {
      const out = pathOf(node.name);
      const derivation: Derivation = {
        name: node.name,
        outputs: new Map([["out", { kind: "inputAddressed", path: out }]]),
        inputSources: [],
        inputDerivations: new Map(
          node.inputs.map((input) => [
            paths[input] ?? pathOf("none.drv"),
            { outputs: ["out"], dynamic: new Map() },
          ]),
        ),
        system: text("x86_64-linux"),
        builder: text("/bin/sh"),
        args: [text("-e"), text("builder.sh")],
        env: new Map([
          [text("name"), text(node.name)],
          [text("out"), text(printStorePath(defaultStoreDir, out))],
          [text("configureFlags"), text("--prefix=/usr ".repeat(20))],
        ]),
      };
      return [
        paths[index] ?? pathOf("none.drv"),
        byteStringToBytes(printDerivation(defaultStoreDir, derivation)),
      ];
    }),
  );
}

/** No output is valid yet, and no builder joins. */
function storeOf(collection: ReadonlyMap<StorePath, Uint8Array>): RawStore {
  const never = (): never => {
    throw new Error("not a part of this benchmark");
  };
  return {
    storeDir: defaultStoreDir,
    realStoreDir: defaultStoreDir,
    queryPathInfos: () => Promise.resolve(new Map()),
    queryValidPaths: () => Promise.resolve(new Set()),
    isValidPath: () => Promise.resolve(false),
    closure: () => Promise.resolve([]),
    readDerivation: async (path) => {
      // As from a disk: never at once.
      await turn();
      const contents = collection.get(path);
      if (contents === undefined) throw new Error(`${path} is not there`);
      return parseDerivation(defaultStoreDir, path.slice(33, -4), contents);
    },
    narFromPath: never,
    addToStoreNar: never,
    addTextToStore: never,
    ensurePath: never,
    addPermRoot: never,
    deletePath: never,
  };
}

const defaults = {
  ...defaultConfig(),
  dbUrl: new Secret("embedded:"),
  queueTriggerTimerInS: -1,
};
