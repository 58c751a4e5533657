/**
 * One step fails, and with it 5,000 builds: how long the event loop stands still meanwhile, from the scheduler's
 * answer to the last row. Everything else that the runner does waits as long as the longest block.
 *
 * `failing-dependents [builds] [rounds]`, after twenty small failures; exit code 1 when the longest block is over 50 ms.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import {
  EmbeddedPostgres,
  type HydraDatabase,
  openHydraDatabase,
  seedJobset,
} from "../lib/database/index.js";
import type { SqlSession, TransactionRunner } from "../lib/database/recording/index.js";
import {
  defaultStoreDir,
  parseStorePath,
  printStorePath,
  type StorePath,
} from "../lib/nix/path/store-path.js";
import { Recorder } from "../lib/runner/recording/recorder.js";
import type { Attempt } from "../lib/runner/state/attempts.js";
import { attemptId, type BuildId, buildId, jobsetId, Scheduler, stepId } from "../lib/scheduler/index.js";
import type { Benchmark } from "./benchmark.js";
import { sameMachines } from "./farm-machines.js";
import { LoopWatch } from "./loop-watch.js";

const longestAllowedMs = 50;

/** Counts what goes to the database. */
class CountingTransactions implements TransactionRunner {
  readonly #database: HydraDatabase;
  transactions = 0;
  statements = 0;

  constructor(database: HydraDatabase) {
    this.#database = database;
  }

  transaction<T>(work: (session: SqlSession) => Promise<T>): Promise<T> {
    this.transactions++;
    const counted = (session: SqlSession): SqlSession => ({
      query: (text, values) => {
        this.statements++;
        return session.query(text, values);
      },
    });
    return this.#database.transaction((session) => work(counted(session)), { idempotent: true });
  }
}

function drvPath(index: number): StorePath {
  const hash = index.toString().padStart(32, "0");
  return parseStorePath(`${hash}-a-package-with-a-name-of-usual-length-1.2.${index}.drv`);
}

/** Builds of the steps with these indices, as an evaluation leaves them. */
async function addBuilds(database: HydraDatabase, indices: readonly number[]): Promise<BuildId[]> {
  const { rows } = await database.transaction((session) =>
    session.query<{ id: number }>(
      "insert into builds (finished, timestamp, jobset_id, job, nixname, drvpath, system)" +
        " select 0, 1000, (select min(id) from jobsets), 'job' || i.at, 'package', i.drv, 'x86_64-linux'" +
        " from unnest($1::int[], $2::text[]) with ordinality as i(at, drv) order by i.at returning id",
      [indices, indices.map((index) => printStorePath(defaultStoreDir, drvPath(index)))],
    ),
  );
  return rows.map(({ id }) => buildId(id));
}

/** The failing step with its own build, and a step with a build of its own for each dependent. */
function loadScheduler(indices: readonly number[], builds: readonly BuildId[]): Scheduler {
  const scheduler = new Scheduler({ deadlines: { heartbeatMs: 0 } });
  scheduler.upsertJobset({ id: jobsetId(1), project: "p", name: "j", shares: 100 });
  const [first = 0] = indices;
  const steps = indices.map((index) => ({
    id: stepId(drvPath(index)),
    name: `package-${index}`,
    system: "x86_64-linux",
    features: [],
    inputs: index === first ? [] : [{ id: stepId(drvPath(first)) }],
  }));
  scheduler.addSteps(steps, 0);
  for (const [at, { id }] of steps.entries()) {
    const build = { id: builds[at] ?? buildId(0), jobset: jobsetId(1), step: id, timestamp: 0 };
    scheduler.addBuild({ ...build, globalPriority: 0, localPriority: 100 }, 0);
  }
  for (const machine of sameMachines(1, 1)) scheduler.addMachine(machine, 0, () => 0);
  return scheduler;
}

interface Round {
  readonly longestBlockMs: number;
  readonly longestDelayMs: number;
  readonly totalMs: number;
  readonly transactions: number;
  readonly statements: number;
}

async function failOnce(database: HydraDatabase, indices: readonly number[]): Promise<Round> {
  const builds = await addBuilds(database, indices);
  const scheduler = loadScheduler(indices, builds);
  const [assignment] = scheduler.assign(0, () => attemptId("attempt"));
  if (assignment === undefined) throw new Error("no step was assigned");
  const drv = drvPath(indices[0] ?? 0);
  const counting = new CountingTransactions(database);
  let ended = 0;
  const recorder = new Recorder({
    database: counting,
    storeDir: defaultStoreDir,
    logPath: (path) => `/var/lib/hydra/build-logs/${path}`,
    rememberFailures: () => true,
    onEnded: () => ended++,
  });
  const out = parseStorePath(drv.replace(/\.drv$/, ""));
  const attempt: Attempt = {
    id: assignment.attempt,
    assignment,
    drv,
    machine: assignment.machine,
    hostname: "builder",
    startedAt: Date.now(),
    facts: {
      drv,
      name: "package",
      system: "x86_64-linux",
      features: [],
      preferLocal: false,
      outputs: new Map([["out", out]]),
      inputs: [],
      needsResolution: false,
      impure: false,
    },
    jobsets: ["p:j"],
    limits: { maxLogSize: 0, maxOutputSize: 0 },
    row: undefined,
    sent: true,
  };
  const row = await recorder.stepStarted(attempt);
  const { transactions, statements } = counting;
  // What was made up to here must not be collected, or grow the heap, inside the measurement of what follows.
  await sleep(200);

  using watch = new LoopWatch();
  await sleep(20);
  const started = performance.now();
  const completion = scheduler.complete(assignment.attempt, { kind: "failed", status: 1 }, 1, () => 0);
  if (completion.kind !== "failed") throw new Error(`the step is ${completion.kind}`);
  await recorder.stepFailed({
    attempt,
    row,
    facts: attempt.facts,
    status: completion.status,
    error: `builder failed with exit code 1\n${"a line of the log\n".repeat(200)}`,
    overheadMs: 0,
    accounted: assignment.build,
    builds: completion.builds,
  });
  const totalMs = performance.now() - started;
  await sleep(20);
  if (ended !== builds.length) throw new Error(`${ended} of ${builds.length} builds ended`);
  return {
    longestBlockMs: watch.longestBlockMs,
    longestDelayMs: watch.longestDelayMs,
    totalMs,
    transactions: counting.transactions - transactions,
    statements: counting.statements - statements,
  };
}

export const run: Benchmark = async ([builds = "5000", rounds = "5"]) => {
  const folder = await mkdtemp(join(tmpdir(), "hydra-bench-"));
  const server = await EmbeddedPostgres.start({ dataDir: folder });
  const database = await openHydraDatabase({ url: server.url, dataDir: folder, maxConnections: 8 });
  const listener = new pg.Client({ connectionString: server.url });
  try {
    await database.transaction(seedJobset);
    await listener.connect();
    const payloads: number[] = [];
    listener.on("notification", ({ payload = "" }) => payloads.push(Buffer.byteLength(payload)));
    await listener.query("listen build_finished");
    await listener.query("listen step_finished");
    let used = 0;
    const fail = (count: number): Promise<Round> =>
      failOnce(
        database,
        Array.from({ length: count + 1 }, () => ++used),
      );
    // A runner does not meet its largest failure with code that never ran: small ones come first.
    for (let warmUp = 0; warmUp < 20; warmUp++) await fail(50);
    payloads.length = 0;
    const results: Round[] = [];
    for (let round = 0; round < Number(rounds); round++) results.push(await fail(Number(builds)));
    const longest = Math.max(...results.map(({ longestBlockMs }) => longestBlockMs));
    if (longest > longestAllowedMs) process.exitCode = 1;
    const of = (key: keyof Round): number => Math.max(...results.map((round) => round[key]));
    return {
      builds: Number(builds),
      "longest block, ms (aim: < 50)": longest,
      "longest delay of a timer (with waiting for a processor), ms": of("longestDelayMs"),
      "longest block of each round, ms": results.map((one) => one.longestBlockMs.toFixed(1)).join(" "),
      "total, ms": of("totalMs"),
      transactions: of("transactions"),
      statements: of("statements"),
      "largest payload, bytes": Math.max(...payloads),
      notifications: payloads.length / results.length,
    };
  } finally {
    await listener.end();
    await database.close();
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  }
};
