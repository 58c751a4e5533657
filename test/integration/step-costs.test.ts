// What attempts used, in a table of the runner's own: made when it is needed, read back, and nothing without the right to.
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from "vitest";
import { connectionSettings, HydraDatabase } from "../../lib/database/index.js";
import type { TransactionRunner } from "../../lib/database/recording/index.js";
import { createLogger } from "../../lib/log.js";
import { StepCosts } from "../../lib/runner/recording/step-costs.js";
import { buildId } from "../../lib/scheduler/ids.js";
import { startPostgres, type TestPostgres } from "../support/postgres.js";
import { until } from "../support/until.js";

let postgres: TestPostgres;
let database: HydraDatabase;
let lines: string[] = [];
let enabled = true;

beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(() => postgres.close());
beforeEach(async () => {
  database = new HydraDatabase({
    settings: connectionSettings(await postgres.database()),
    maxConnections: 4,
  });
  lines = [];
  enabled = true;
});
afterEach(() => database.close());

function costsIn(transactions: TransactionRunner): StepCosts {
  const logger = createLogger({ target: "test", write: (line) => lines.push(line) });
  return new StepCosts({ database: transactions, enabled: () => enabled, logger });
}

const step = (stepNumber: number) => ({ build: buildId(7), stepNumber });

it("keeps the numbers of many attempts, in a table that it makes", async () => {
  expect(await database.stepResources([step(1)])).toEqual([]);
  const costs = costsIn(database);
  costs.note(step(1), {
    source: "samples",
    cpuUserMs: 1,
    cpuSystemMs: 2,
    peakMemoryBytes: 2 ** 40,
    readBytes: 4,
    writtenBytes: 5,
    outputBytes: 6,
  });
  costs.note(step(2), { source: "daemon", cpuUserMs: 1, cpuSystemMs: 2 });
  costs.note(step(3), { outputBytes: 6 });
  costs.note(step(4), undefined);
  enabled = false;
  costs.note(step(5), { source: "daemon", cpuUserMs: 1 });
  const asked = [1, 2, 3, 4, 5].map(step);
  const rows = await until("both rows", async () => {
    const found = await database.stepResources(asked);
    return found.length >= 2 && found;
  });
  expect([...rows].sort((a, b) => a.stepNumber - b.stepNumber)).toEqual([
    {
      build: 7,
      stepNumber: 1,
      source: "samples",
      cpuUserMs: 1,
      cpuSystemMs: 2,
      peakMemory: 2 ** 40,
      readBytes: 4,
      writtenBytes: 5,
      outputBytes: 6,
    },
    {
      build: 7,
      stepNumber: 2,
      source: "daemon",
      cpuUserMs: 1,
      cpuSystemMs: 2,
      peakMemory: null,
      readBytes: null,
      writtenBytes: null,
      outputBytes: null,
    },
  ]);
  expect(lines).toEqual([]);
});

it("says once that it may not make the table, and does no harm", async () => {
  await database.transaction((session) => session.query("CREATE ROLE weak"));
  const weak: TransactionRunner = {
    transaction: (work, options) =>
      database.transaction(async (session) => {
        await session.query("SET LOCAL ROLE weak");
        return work(session);
      }, options),
  };
  const costs = costsIn(weak);
  costs.note(step(1), { source: "daemon", cpuUserMs: 1 });
  await until("the warning", () => lines.length > 0);
  costs.note(step(2), { source: "daemon", cpuUserMs: 1 });
  costs.note(step(3), { source: "daemon", cpuUserMs: 1 });
  await database.transaction((session) => session.query("SELECT pg_sleep(0.2)"));
  expect(lines).toHaveLength(1);
  expect(lines[0]).toContain("permission denied for database");
  expect(await database.stepResources([step(1)])).toEqual([]);
});
