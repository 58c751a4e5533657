// Statements that a connection plans once: which they are, and what happens when the server does not know them any more.
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import { connectionSettings, HydraDatabase, type Transaction } from "../../lib/database/index.js";
import { lockBuilds } from "../../lib/database/recording/build-rows.js";
import { startPostgres, type TestPostgres } from "../support/postgres.js";

let postgres: TestPostgres;
let url: string;
beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(() => postgres.close());
beforeEach(async () => {
  url = await postgres.database();
});

/** One connection, so that all statements meet on it. */
function open(retries: unknown[] = []): HydraDatabase {
  return new HydraDatabase({
    settings: connectionSettings(url),
    maxConnections: 1,
    onRetry: (error) => retries.push(error),
  });
}

async function preparedOn(database: HydraDatabase): Promise<string[]> {
  const { rows } = await database.read((session) =>
    session.query<{ statement: string }>("SELECT statement FROM pg_prepared_statements"),
  );
  return rows.map(({ statement }) => statement);
}

const path = "/nix/store/00000000000000000000000000000001-x";
const many = Array.from({ length: 100 }, (_, index) => `${path}${index}`);

async function rememberFailure(database: HydraDatabase): Promise<void> {
  await database.transaction((session) => session.query("INSERT INTO failedpaths VALUES ($1)", [path]));
}

it("plans once what a few builds need, and each time what many need", async () => {
  await using database = open();
  await rememberFailure(database);
  expect(await database.failedPaths([...many, path])).toEqual(new Set([path]));
  expect(await preparedOn(database)).toEqual([]);
  expect(await database.failedPaths([path])).toEqual(new Set([path]));
  expect(await database.failedPaths([`${path}1`])).toEqual(new Set());
  expect(await preparedOn(database)).toEqual([expect.stringContaining("failedpaths")]);
});

it("reads on when the connection has forgotten what was prepared", async () => {
  await using database = open();
  await rememberFailure(database);
  await database.failedPaths([path]);
  await database.read((session) => session.query("DISCARD ALL"));
  expect(await database.failedPaths([path])).toEqual(new Set([path]));
  await database.failedPaths([path]);
  expect(await preparedOn(database)).toEqual([]);
});

it("repeats a transaction when the connection has forgotten what was prepared", async () => {
  const retries: unknown[] = [];
  await using database = open(retries);
  const work = async (): Promise<number> =>
    database.transaction(async (session) => {
      await rememberIn(session);
      return (await lockBuilds(session, [1])).size;
    });
  expect(await work()).toBe(0);
  await database.read((session) => session.query("DISCARD ALL"));
  expect(await work()).toBe(0);
  expect(retries).toEqual([expect.objectContaining({ code: "26000" })]);
  const { rows } = await database.read((session) => session.query("SELECT path FROM failedpaths"));
  expect(rows).toHaveLength(2);
});

async function rememberIn(session: Transaction): Promise<void> {
  await session.query("INSERT INTO failedpaths SELECT $1::text || count(*) FROM failedpaths", [path]);
}

it("reads on when the type of a column has changed", async () => {
  await using database = open();
  await database.unfinishedBuilds({ ids: [1] });
  expect(await preparedOn(database)).toHaveLength(1);
  await database.read((session) => session.query("ALTER TABLE builds ALTER timeout TYPE bigint"));
  expect(await database.unfinishedBuilds({ ids: [1] })).toEqual({ builds: [], bad: [] });
});
