// One owner at a time, and a former owner that does not know it yet cannot write.
import { hostname } from "node:os";
import type pg from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { connectionSettings, HydraDatabase, OwnerLock } from "../../lib/database/index.js";
import { deferred } from "../support/deferred.js";
import { startPostgres, type TestPostgres } from "../support/postgres.js";
import { until } from "../support/until.js";

/** A runner's view of the database, which can be cut off from it without the server knowing. */
interface Runner {
  readonly database: HydraDatabase;
  readonly lock: OwnerLock;
  /** New connections fail from now on. */
  isolate(): void;
}

let postgres: TestPostgres;
let url: string;
let admin: pg.Client;
let a: Runner;
let b: Runner;
beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(() => postgres.close());
beforeEach(async () => {
  url = await postgres.database();
  admin = await postgres.client(url);
  await admin.query("create table notes (id int)");
  a = makeRunner();
  b = makeRunner();
});
afterEach(async () => {
  for (const { lock, database } of [a, b]) {
    await lock.release();
    await database.close();
  }
});

function makeRunner(): Runner {
  const database = new HydraDatabase({ settings: connectionSettings(url), maxConnections: 3 });
  let isolated = false;
  const lock = new OwnerLock({
    database: {
      connect: (name) =>
        isolated
          ? Promise.reject(Object.assign(new Error("no route"), { code: "EHOSTUNREACH" }))
          : database.connect(name),
    },
    pollIntervalMs: 50,
    checkIntervalMs: 100,
  });
  database.fence(lock);
  return { database, lock, isolate: () => (isolated = true) };
}

/** Patient, as a busy machine needs long for a new connection; what has to fail does not wait for so long. */
const write = (runner: Runner, id: number, patienceMs = 20_000) =>
  runner.database.transaction((transaction) => transaction.query("insert into notes values ($1)", [id]), {
    patienceMs,
  });
const notes = async (): Promise<number[]> =>
  (await admin.query<{ id: number }>("select id from notes order by id")).rows.map((row) => row.id);
/** Ends the connection that holds the owner lock; the key spaces are those of the implementation. */
const cutOwner = () =>
  admin.query(
    "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and objsubid = 2 and objid = 1 and granted" +
      " and database = (select oid from pg_database where datname = current_database())",
  );

describe("ownership", () => {
  it("is one runner's, until that gives it up", async () => {
    expect(await a.lock.tryAcquire()).toBe(true);
    expect(await a.lock.tryAcquire()).toBe(true);
    expect(await b.lock.tryAcquire()).toBe(false);
    await write(a, 1);
    await expect(write(b, 2, 2_000)).rejects.toMatchObject({ code: "fenced" });
    const waiting = b.lock.acquire();
    const { name, since } = await until("the standby to see who leads", async () => b.lock.otherOwner);
    expect(name).toBe(hostname());
    expect(Math.abs(Date.now() - since)).toBeLessThan(600_000);
    expect(a.lock.otherOwner).toBeUndefined();
    await a.lock.release();
    await waiting;
    expect(b.lock.isHeld).toBe(true);
    await write(b, 3);
    await expect(write(a, 4, 2_000)).rejects.toMatchObject({ code: "fenced" });
    expect(await notes()).toEqual([1, 3]);
    expect(a.lock.lost.aborted).toBe(false);
  });

  it("is of one database only", async () => {
    const home = url;
    url = await postgres.database();
    const other = makeRunner();
    url = home;
    expect(await a.lock.tryAcquire()).toBe(true);
    expect(await other.lock.tryAcquire()).toBe(true);
    await other.lock.release();
    await other.database.close();
  });

  it("is not waited for after the signal", async () => {
    await a.lock.tryAcquire();
    const abort = new AbortController();
    const waiting = b.lock.acquire(abort.signal);
    abort.abort(new Error("enough"));
    await expect(waiting).rejects.toThrow("enough");
  });

  it("survives a broken connection while no other runner takes over", async () => {
    await a.lock.tryAcquire();
    expect(await b.lock.tryAcquire()).toBe(false);
    const waiting = b.lock.acquire();
    waiting.catch(() => undefined);
    await cutOwner();
    await write(a, 1);
    await until("the lock to be back", () => a.lock.isHeld);
    await write(a, 2);
    expect(await notes()).toEqual([1, 2]);
    expect(a.lock.lost.aborted).toBe(false);
    expect(b.lock.isHeld).toBe(false);
    await b.lock.release();
    await expect(waiting).rejects.toThrow(/released/);
  });

  it("goes to the standby when the owner is cut off, and the owner learns it", async () => {
    await a.lock.tryAcquire();
    expect(await b.lock.tryAcquire()).toBe(false);
    const waiting = b.lock.acquire();
    a.isolate();
    await cutOwner();
    await waiting;
    await write(b, 1);
    // A's pool still works: only the fence keeps it from writing.
    await expect(write(a, 2, 2_000)).rejects.toThrow();
    expect(await notes()).toEqual([1]);
  });

  it("is lost for an owner who finds another one there", async () => {
    await a.lock.tryAcquire();
    // Takes the lock at the very moment of the cut, without a standby's courtesy.
    await cutOwner();
    const thief = await postgres.client(url);
    const { rows } = await thief.query<{ got: boolean }>("select pg_try_advisory_lock(1215913544, 1) as got");
    if (rows[0]?.got !== true) {
      await cutOwner();
      await thief.query("select pg_advisory_lock(1215913544, 1)");
    }
    await until("the loss", () => a.lock.lost.aborted);
    await expect(write(a, 1, 2_000)).rejects.toMatchObject({ code: "fenced" });
    await expect(a.lock.tryAcquire()).rejects.toMatchObject({ code: "fenced" });
  });
});

describe("a transaction that a former owner has under way", () => {
  it("ends before the new owner begins", async () => {
    await a.lock.tryAcquire();
    const written = deferred();
    const go = deferred();
    const under = a.database.transaction(async (transaction) => {
      await transaction.query("insert into notes values (1)");
      written.resolve();
      await go.promise;
    });
    await written.promise;
    a.isolate();
    await cutOwner();
    let owns = false;
    const taken = b.lock.acquire().then(() => {
      owns = true;
    });
    await until("the new owner to wait at the gate", async () => {
      const { rows } = await admin.query(
        "select 1 from pg_locks where locktype = 'advisory' and not granted and mode = 'ExclusiveLock'",
      );
      return rows.length > 0;
    });
    expect(owns).toBe(false);
    go.resolve();
    await under;
    await taken;
    expect(await notes()).toEqual([1]);
  });

  it("is ended by force when it does not come to an end", async () => {
    await a.lock.tryAcquire();
    const written = deferred();
    const go = deferred();
    const under = a.database.transaction(
      async (transaction) => {
        await transaction.query("insert into notes values (1)");
        written.resolve();
        await go.promise;
      },
      { patienceMs: 0 },
    );
    under.catch(() => undefined);
    await written.promise;
    a.isolate();
    await cutOwner();
    await b.lock.acquire();
    go.resolve();
    await expect(under).rejects.toThrow();
    expect(await notes()).toEqual([]);
  });
});
