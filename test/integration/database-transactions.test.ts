// Transactions get through collisions and broken connections, and are never committed twice by accident.
import { integer, pgTable } from "drizzle-orm/pg-core";
import type pg from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { drizzleOn } from "../../lib/database/drizzle.js";
import {
  connectionSettings,
  DatabaseError,
  HydraDatabase,
  openHydraDatabase,
  type Transaction,
} from "../../lib/database/index.js";
import { UsageError } from "../../lib/errors.js";
import { createLogger } from "../../lib/log.js";
import { startPostgres, type TestPostgres } from "../support/postgres.js";
import { until } from "../support/until.js";

let postgres: TestPostgres;
let url: string;
let database: HydraDatabase;
let admin: pg.Client;
let retries: unknown[] = [];
beforeAll(async () => {
  postgres = await startPostgres({ maxConnections: 40 });
});
afterAll(() => postgres.close());
beforeEach(async () => {
  url = await postgres.database();
  retries = [];
  database = new HydraDatabase({
    settings: connectionSettings(url),
    maxConnections: 4,
    onRetry: (error) => retries.push(error),
  });
  admin = await postgres.client(url);
  await admin.query("create table notes (id int primary key, text text not null default '')");
});
afterEach(() => database.close());

const notes = async (): Promise<number[]> =>
  (await admin.query<{ id: number }>("select id from notes order by id")).rows.map((row) => row.id);
const pidOf = async (transaction: Transaction): Promise<number> =>
  (await transaction.query<{ pid: number }>("select pg_backend_pid() as pid")).rows[0]!.pid;
const kill = (pid: number) => admin.query("select pg_terminate_backend($1)", [pid]);

describe("a transaction", () => {
  it("commits what it did, and takes everything back when the work fails", async () => {
    expect(
      await database.transaction(async (transaction) => {
        await transaction.query("insert into notes values ($1)", [1]);
        return "answer";
      }),
    ).toBe("answer");
    const fault = new Error("our own");
    await expect(
      database.transaction(async (transaction) => {
        await transaction.query("insert into notes values (2)");
        throw fault;
      }),
    ).rejects.toBe(fault);
    expect(await notes()).toEqual([1]);
    expect(database.connections.open).toBe(1);
  });

  it("has queries that were built with drizzle as parts of it", async () => {
    const table = pgTable("notes", { id: integer("id").notNull() });
    const fault = new Error("our own");
    await expect(
      database.transaction(async (transaction) => {
        await drizzleOn(transaction).insert(table).values({ id: 1 });
        expect(await drizzleOn(transaction).select({ id: table.id }).from(table)).toEqual([{ id: 1 }]);
        throw fault;
      }),
    ).rejects.toBe(fault);
    expect(await database.read((session) => drizzleOn(session).select().from(table))).toEqual([]);
    expect(() => drizzleOn({ query: async () => ({ rows: [], rowCount: 0 }) })).toThrow(UsageError);
  });

  it("is repeated when its connection breaks before the commit", async () => {
    let tries = 0;
    await database.transaction(async (transaction) => {
      await transaction.query("insert into notes values (1)");
      if (++tries === 1) await kill(await pidOf(transaction));
      await transaction.query("insert into notes values (2)");
    });
    expect(tries).toBe(2);
    expect(await notes()).toEqual([1, 2]);
  });

  it("gives up with `conflict` when it collides again and again", async () => {
    await expect(
      database.transaction((transaction) =>
        transaction.query("do $$ begin raise exception 'no' using errcode = '40001'; end $$"),
      ),
    ).rejects.toMatchObject({ code: "conflict" });
    expect(retries).toHaveLength(9);
  });

  it("does not pretend to have committed after an error that the work swallowed", async () => {
    await expect(
      database.transaction(async (transaction) => {
        await transaction.query("insert into notes values (1)");
        await transaction.query("select broken").catch(() => undefined);
      }),
    ).rejects.toThrow(/rolled back/);
    expect(await notes()).toEqual([]);
  });

  it("runs statements that are sent together in their order; the first that fails says why", async () => {
    await expect(
      database.transaction((transaction) =>
        Promise.all([
          transaction.query("insert into notes values (1)"),
          transaction.query("select broken"),
          transaction.query("insert into notes values (2)"),
        ]),
      ),
    ).rejects.toThrow(/"broken" does not exist/);
    // The answer to the later one may be heard before that to the first.
    const deep = async (depth: number, ask: () => Promise<unknown>): Promise<unknown> =>
      depth === 0 ? ask() : await deep(depth - 1, ask);
    await expect(
      database.transaction((transaction) =>
        Promise.all([
          deep(20, () =>
            transaction.query("do $$ begin raise exception 'no' using errcode = '40001'; end $$"),
          ),
          transaction.query("select 1"),
        ]),
      ),
    ).rejects.toMatchObject({ code: "conflict" });
    expect(await notes()).toEqual([]);
    const append = "insert into notes select coalesce(max(id), 0) + 1 from notes";
    await database.transaction((transaction) => Promise.all([1, 2, 3].map(() => transaction.query(append))));
    expect(await notes()).toEqual([1, 2, 3]);
    expect(database.connections.open).toBe(1);
  });

  it("does nothing when its fence forbids it, although its statements left at once", async () => {
    const write = () =>
      database.transaction((transaction) => transaction.query("insert into notes values (1)"));
    database.fence({ enter: () => ({ statements: "select 1 / 0", verify: () => {} }) });
    await expect(write()).rejects.toThrow("division by zero");
    const fenced = new DatabaseError("fenced", "another runner's");
    const verify = () => {
      throw fenced;
    };
    database.fence({ enter: () => ({ statements: "select 1", verify }) });
    await expect(write()).rejects.toBe(fenced);
    expect(await notes()).toEqual([]);
  });

  it("is given up for work that throws before it promises anything", async () => {
    const fault = new Error("at once");
    const work = (): Promise<never> => {
      throw fault;
    };
    await expect(database.transaction(work)).rejects.toBe(fault);
    expect(database.connections.idle).toBe(1);
  });

  it("takes no statement after its end: the connection is someone else's", async () => {
    const ended = await database.transaction(async (transaction) => transaction);
    await expect(ended.query("insert into notes values (1)")).rejects.toThrow(UsageError);
    expect(await notes()).toEqual([]);
  });

  it("stops trying when its signal says so", async () => {
    const abort = new AbortController();
    const reason = new Error("enough");
    await expect(
      database.transaction(
        async (transaction) => {
          abort.abort(reason);
          await kill(await pidOf(transaction));
          await transaction.query("select 1");
        },
        { signal: abort.signal },
      ),
    ).rejects.toBe(reason);
  });
});

describe("a commit whose answer is lost", () => {
  /** Kills the connection from a trigger that runs at COMMIT, so that the commit itself is cut off. */
  async function cutCommits(times: number): Promise<void> {
    await admin.query(`
      create sequence cuts;
      create function cut() returns trigger as $body$ begin
        if nextval('cuts') <= ${times} then perform pg_terminate_backend(pg_backend_pid()); end if;
        return null;
      end $body$ language plpgsql;
      create constraint trigger cut after insert on notes deferrable initially deferred
        for each row execute function cut()`);
  }

  it("is an unknown outcome for work that must not run twice", async () => {
    await cutCommits(1);
    await expect(
      database.transaction((transaction) => transaction.query("insert into notes values (1)")),
    ).rejects.toMatchObject({ code: "unknown-outcome" });
  });

  it("is repeated for work that may", async () => {
    await cutCommits(2);
    await database.transaction(
      (transaction) => transaction.query("insert into notes values (1) on conflict do nothing"),
      { idempotent: true },
    );
    expect(await notes()).toEqual([1]);
  });
});

it("reads go on after all pooled connections were cut", async () => {
  await Promise.all(Array.from({ length: 4 }, () => database.jobsets()));
  await admin.query(
    "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()",
  );
  expect(await database.jobsets()).toHaveLength(1);
});

it("the pool never has more connections than allowed, and everyone gets a turn", async () => {
  let most = 0;
  await Promise.all(
    Array.from({ length: 40 }, async () => {
      await database.transaction((transaction) => transaction.query("select pg_sleep(0.01)"));
      most = Math.max(most, database.connections.open);
    }),
  );
  expect(most).toBeLessThanOrEqual(4);
});

it("the pool keeps a few connections for the next build, and closes the others when they have been idle", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  try {
    const sleeps = Array.from({ length: 4 }, () =>
      database.read((session) => session.query("select pg_sleep(0.05)")),
    );
    await Promise.all(sleeps);
    expect(database.connections).toMatchObject({ open: 4, idle: 4 });
    vi.advanceTimersByTime(61_000);
    expect(database.connections).toMatchObject({ open: 3, idle: 3 });
    database.limitConnections(2);
    vi.advanceTimersByTime(61_000);
    await database.read((session) => session.query("select 1"));
    vi.advanceTimersByTime(61_000);
    expect(database.connections.open).toBe(2);
  } finally {
    vi.useRealTimers();
  }
});

it("the pool is smaller than the server's limit, whatever was asked for", async () => {
  const opened = await openHydraDatabase({ url, dataDir: "/nonexistent", maxConnections: 128 });
  // 40 − 3 for superusers; three quarters of the rest, less our two others.
  expect(opened.connections.max).toBe(25);
  await opened.close();
});

it("says once that it waits for a server, and goes on when that is there", async () => {
  const lines: string[] = [];
  const logger = createLogger({ target: "t", write: (line) => lines.push(line) });
  const admins = await postgres.client(url.replace(/[^/]*$/, "postgres"));
  const name = /[^/]*$/.exec(url)![0];
  // A database that takes no connections looks like a server that is not up yet.
  await admins.query(`alter database ${name} connection limit 0`);
  await admins.query("create role guest login; grant hydra to guest");
  await admin.query(
    "grant usage on schema public to guest; grant all on all tables in schema public to guest",
  );
  const opening = openHydraDatabase({
    url: url.replace("//hydra@", "//guest@"),
    dataDir: "/nonexistent",
    logger,
  });
  await until("two refusals", async () => lines.length > 0);
  await admins.query(`alter database ${name} connection limit -1`);
  const opened = await opening;
  expect(await opened.jobsets()).toHaveLength(1);
  await opened.close();
  expect(lines.filter((line) => line.includes("waiting for it"))).toHaveLength(1);
  expect(lines.filter((line) => line.includes("answers now"))).toHaveLength(1);
});

it("waiting for a server that never comes ends with the signal", async () => {
  const abort = new AbortController();
  const opening = openHydraDatabase({
    url: "postgres://hydra@%2Fnonexistent:5432/hydra",
    dataDir: "/nonexistent",
    signal: abort.signal,
  });
  abort.abort(new Error("enough"));
  await expect(opening).rejects.toThrow("enough");
});

it("says so when used after close", async () => {
  await database.close();
  await expect(database.jobsets()).rejects.toThrow(DatabaseError);
  await expect(database.transaction(async () => 1)).rejects.toMatchObject({ code: "closed" });
});
