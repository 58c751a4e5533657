// A database that is silent, for seconds or for longer than the grace, and what its owner does meanwhile.
import { setTimeout as sleep } from "node:timers/promises";
import type pg from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from "vitest";
import { connectionSettings, HydraDatabase, OwnerLock } from "../../lib/database/index.js";
import { freezePostgres } from "../support/freeze-postgres.js";
import { startPostgres, type TestPostgres } from "../support/postgres.js";
import { until } from "../support/until.js";

interface Runner {
  readonly database: HydraDatabase;
  readonly lock: OwnerLock;
}

let postgres: TestPostgres;
let url: string;
let admin: pg.Client;
const runners: Runner[] = [];
const thaws: (() => void)[] = [];
beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(() => postgres.close());
beforeEach(async () => {
  url = await postgres.database();
  admin = await postgres.client(url);
  await admin.query("create table notes (id int)");
});
afterEach(async () => {
  for (const thaw of thaws.splice(0)) thaw();
  for (const { lock, database } of runners.splice(0)) {
    await lock.release();
    await database.close();
  }
});

function makeRunner(graceMs = 600_000): Runner {
  const database = new HydraDatabase({ settings: connectionSettings(url), maxConnections: 3 });
  const lock = new OwnerLock({ database, graceMs: () => graceMs });
  database.fence(lock);
  runners.push({ database, lock });
  return { database, lock };
}

async function freeze(): Promise<() => void> {
  const thaw = await freezePostgres(admin);
  thaws.push(thaw);
  return thaw;
}

const write = ({ database }: Runner, id: number): Promise<unknown> =>
  database.transaction((transaction) => transaction.query("insert into notes values ($1)", [id]), {
    idempotent: true,
  });
const notes = async (): Promise<number[]> =>
  (await admin.query<{ id: number }>("select id from notes order by id")).rows.map((row) => row.id);

it("keeps its owner through 25 s of silence, which is known within 5 s", { timeout: 90_000 }, async () => {
  const runner = makeRunner();
  expect(await runner.lock.tryAcquire()).toBe(true);
  await write(runner, 1);
  let answered = 0;
  runner.lock.onAnswering(() => answered++);
  const frozenAt = Date.now();
  const thaw = await freeze();
  await until("the silence to be noticed", () => runner.lock.silentSince !== undefined, { everyMs: 25 });
  expect(Date.now() - frozenAt).toBeLessThan(5_000);
  const waiting = write(runner, 2);
  await sleep(25_000 - (Date.now() - frozenAt));
  thaw();
  await waiting;
  await until("the lock to be held again", () => runner.lock.isHeld && runner.lock.silentSince === undefined);
  expect(answered).toBeGreaterThan(0);
  expect(runner.lock.lost.aborted).toBe(false);
  await write(runner, 3);
  expect(await notes()).toEqual([1, 2, 3]);
});

it("is given up when the silence outlasts the grace, and nothing is written after that", {
  timeout: 90_000,
}, async () => {
  const runner = makeRunner(6_000);
  expect(await runner.lock.tryAcquire()).toBe(true);
  const frozenAt = Date.now();
  const thaw = await freeze();
  await until("the loss", () => runner.lock.lost.aborted, { timeoutMs: 40_000 });
  expect(Date.now() - frozenAt).toBeGreaterThanOrEqual(6_000);
  expect(runner.lock.lost.reason).toMatchObject({ message: expect.stringContaining("databaseGraceInS") });
  thaw();
  await expect(write(runner, 1)).rejects.toMatchObject({ code: "fenced" });
  expect(await notes()).toEqual([]);
});

it("has one owner after a silence that two runners sat through", { timeout: 120_000 }, async () => {
  const first = makeRunner();
  const second = makeRunner();
  expect(await first.lock.tryAcquire()).toBe(true);
  const taken = second.lock.acquire();
  taken.catch(() => undefined);
  const thaw = await freeze();
  await sleep(15_000);
  thaw();
  await until(
    "one of them to own it",
    () => (first.lock.isHeld && first.lock.silentSince === undefined) || second.lock.isHeld,
    { timeoutMs: 40_000 },
  );
  const firstOwns = first.lock.isHeld;
  const [owner, other] = firstOwns ? [first, second] : [second, first];
  await write(owner, 1);
  await expect(
    other.database.transaction((transaction) => transaction.query("insert into notes values (2)"), {
      patienceMs: 1_000,
    }),
  ).rejects.toThrow();
  expect(await notes()).toEqual([1]);
});
