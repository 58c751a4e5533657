/** The process that `ingestion.ts` measures: the runner's monitor, ingestion and scheduler, and nothing besides. */
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { Secret } from "../lib/config/index.js";
import { openHydraDatabase } from "../lib/database/index.js";
import { silentLogger } from "../lib/log.js";
import { openStore } from "../lib/nix/index.js";
import { keepHeapSmall } from "../lib/process/small-heap.js";
import { assemble } from "../lib/runner/assembly.js";
import { collectGarbage } from "../test/support/collect-garbage.js";
import { defaultConfig, idleEdges } from "../test/support/idle-runner.js";
import type { IngestionFigures, IngestionTask } from "./ingestion.js";
import { LoopWatch } from "./loop-watch.js";

/** Bytes of the largest resident set so far. */
function peakRss(): number {
  return Number(/VmHWM:\s*(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))?.[1]) * 1024;
}

async function measure({ databaseUrl, remote }: IngestionTask): Promise<IngestionFigures> {
  await using store = await openStore(remote);
  const database = await openHydraDatabase({ url: databaseUrl, dataDir: "" });
  const config = { ...defaultConfig(), dbUrl: new Secret(databaseUrl), queueTriggerTimerInS: -1 };
  const parts = assemble({
    config: () => config,
    store,
    database,
    listener: { onChange: () => () => {}, onResync: () => () => {} },
    logger: silentLogger,
    clock: { now: Date.now, random: Math.random },
    openEdges: () => idleEdges,
  });
  const pass = async (done: () => boolean) => {
    using watch = new LoopWatch();
    const started = performance.now();
    const cpu = process.cpuUsage();
    parts.monitor.trigger();
    while (!done()) await sleep(2);
    const { user, system } = process.cpuUsage(cpu);
    return {
      seconds: (performance.now() - started) / 1000,
      cpuSeconds: (user + system) / 1e6,
      longestMs: watch.longestBlockMs,
    };
  };
  const startRss = process.memoryUsage().rss;
  const heapBefore = process.memoryUsage().heapUsed;
  parts.monitor.start();
  const first = await pass(() => parts.monitor.loaded);
  const { builds, steps } = parts.scheduler.view.sizes();
  const peak = peakRss();
  const passes = parts.metrics.value("queueChecksFinished");
  const idle = await pass(() => parts.metrics.value("queueChecksFinished") > passes);
  collectGarbage();
  const heapBytes = process.memoryUsage().heapUsed - heapBefore;
  await parts.monitor.close();
  parts.dispatcher.close();
  await database.close();
  return {
    builds,
    steps,
    firstSeconds: first.seconds,
    firstCpuSeconds: first.cpuSeconds,
    firstLongestBlockMs: first.longestMs,
    idleSeconds: idle.seconds,
    idleLongestBlockMs: idle.longestMs,
    startRss,
    peakRss: peak,
    heapBytes,
  };
}

// As the program does.
keepHeapSmall();
process.stdout.write(JSON.stringify(await measure(JSON.parse(process.argv[2] ?? "") as IngestionTask)));
