// What a long queue costs per derivation, as counts: statements, file reads, memory.
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { derivationFiles, makePackageSet } from "../../bench/package-set.js";
import { Secret } from "../../lib/config/index.js";
import { openHydraDatabase, seedJobset } from "../../lib/database/index.js";
import { silentLogger } from "../../lib/log.js";
import { defaultStoreDir, openStore, printStorePath } from "../../lib/nix/index.js";
import { assemble } from "../../lib/runner/assembly.js";
import { collectGarbage } from "../support/collect-garbage.js";
import { defaultConfig, idleEdges } from "../support/idle-runner.js";
import { startNixStore, type TestNixStore } from "../support/nix.js";
import { testDatabase } from "../support/test-database.js";
import { until } from "../support/until.js";

const derivations = 3_000;

let folder: string;
let nix: TestNixStore;
const jobs: string[] = [];
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "ingestion-"));
  nix = await startNixStore({ directory: folder, name: "store" });
  await mkdir(nix.realStoreDir, { recursive: true });
  for (const { path, contents, isJob } of derivationFiles(makePackageSet(derivations, 1))) {
    await writeFile(join(nix.realStoreDir, path), contents);
    if (isJob) jobs.push(printStorePath(defaultStoreDir, path));
  }
});
afterAll(async () => {
  await nix.close();
  await rm(folder, { recursive: true, force: true });
});

function heapAfterCollection(): number {
  collectGarbage();
  collectGarbage();
  return process.memoryUsage().heapUsed;
}

test("a long queue costs one read a derivation, few statements, and little memory", async () => {
  const databaseUrl = await testDatabase();
  await using database = await openHydraDatabase({ url: databaseUrl, dataDir: folder });
  await database.transaction(seedJobset);
  await database.transaction(async (session) => {
    await session.query(
      `INSERT INTO builds (finished, timestamp, jobset_id, job, nixname, drvpath, system, priority, globalpriority)
       SELECT 0, 1700000000 + n, (SELECT min(id) FROM jobsets), 'job-' || n, 'job', drv, 'x86_64-linux', 100, 0
         FROM unnest($1::text[]) WITH ORDINALITY AS job(drv, n)`,
      [jobs],
    );
  });
  await using store = await openStore(nix.remote, { env: nix.env });
  const reads = vi.spyOn(store, "readDerivation");
  const questions = vi.spyOn(store, "queryValidPaths");
  const statements = vi.spyOn(pg.Client.prototype, "query");
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
  const before = heapAfterCollection();
  parts.monitor.start();
  try {
    await until("the queue is read", () => parts.monitor.loaded);
    const { builds, steps } = parts.scheduler.view.sizes();
    expect({ builds, steps }).toEqual({ builds: jobs.length, steps: derivations });
    const counts = {
      reads: reads.mock.calls.length / derivations,
      statements: (statements.mock.calls.length / builds) * 1_000,
      questions: (questions.mock.calls.length / builds) * 1_000,
    };
    for (const spy of [reads, questions, statements]) spy.mockRestore();
    const bytes = (heapAfterCollection() - before) / derivations;
    expect(counts.reads).toBe(1);
    // Measured: 135, 97 and 3,174, of which a third is a cache of bounded size.
    expect(counts.statements).toBeLessThan(200);
    expect(counts.questions).toBeLessThan(150);
    expect(bytes).toBeLessThan(4_000);
  } finally {
    await parts.monitor.close();
    parts.dispatcher.close();
  }
});
