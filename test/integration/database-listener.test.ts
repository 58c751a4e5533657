// The listener hears all six channels, comes back by itself, and asks for a full look whenever it may have missed one.
import type pg from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from "vitest";
import { connectionSettings, HydraDatabase, Listener } from "../../lib/database/index.js";
import { startPostgres, type TestPostgres } from "../support/postgres.js";
import { until } from "../support/until.js";

let postgres: TestPostgres;
let database: HydraDatabase;
let listener: Listener;
let admin: pg.Client;
let heard: string[] = [];
let resyncs = 0;
beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(() => postgres.close());
beforeEach(async () => {
  const url = await postgres.database();
  admin = await postgres.client(url);
  database = new HydraDatabase({ settings: connectionSettings(url), maxConnections: 2 });
  listener = new Listener({ database, checkIntervalMs: 50 });
  heard = [];
  resyncs = 0;
  listener.onChange((channels) => heard.push(...channels));
  listener.onResync(() => resyncs++);
  listener.start();
  await until("the first subscription", () => resyncs === 1);
});
afterEach(async () => {
  await listener.close();
  await database.close();
});

const connections = async (): Promise<number> =>
  (
    await admin.query(
      "select 1 from pg_stat_activity where datname = current_database() and application_name like '%:listener'",
    )
  ).rows.length;
const cut = () =>
  admin.query(
    "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name like '%:listener'",
  );
const hears = (channel: string) => until(channel, () => heard.includes(channel));

it("hears what Hydra's triggers and programs say", async () => {
  const id = (await database.submitBuild({ jobsetId: 1, drvPath: "/nix/store/a.drv", system: "x" }))!;
  await hears("builds_added");
  await admin.query("update builds set globalpriority = 5 where id = $1", [id]);
  await hears("builds_bumped");
  await admin.query(
    "update builds set finished = 1, buildstatus = 4, starttime = 1, stoptime = 1 where id = $1",
    [id],
  );
  await hears("builds_cancelled");
  await admin.query("update builds set finished = 0 where id = $1", [id]);
  await hears("builds_restarted");
  await admin.query("delete from builds where id = $1", [id]);
  await hears("builds_deleted");
  await admin.query("update jobsets set schedulingshares = 7");
  await hears("jobset_shares_changed");
  expect(resyncs).toBe(1);
});

it("reports notifications of one moment together, and none of other channels", async () => {
  const calls: string[][] = [];
  listener.onChange((channels) => calls.push([...channels].sort()));
  await admin.query(
    "begin; notify builds_added, '1'; notify builds_added, '2'; notify builds_deleted; notify eval_started; commit",
  );
  await until("a call", () => calls.length > 0);
  expect(calls).toEqual([["builds_added", "builds_deleted"]]);
});

it("comes back after its connection was cut, asks for a resync, and hears again", async () => {
  await cut();
  await until("the second subscription", () => resyncs === 2);
  await admin.query("notify builds_cancelled");
  await hears("builds_cancelled");
  expect(await connections()).toBe(1);
  expect(listener.connected).toBe(true);
});

it("waits for a database that lets nobody in, then resyncs", async () => {
  const admins = await postgres.client((await postgres.database()).replace(/[^/]*$/, "postgres"));
  const { rows } = await admin.query<{ name: string }>("select current_database() as name");
  const name = rows[0]!.name;
  await admins.query(`alter database ${name} allow_connections false`);
  await cut();
  await until("the end of the connection", () => !listener.connected);
  await admins.query(`alter database ${name} allow_connections true`);
  await until("the second subscription", () => resyncs === 2);
});

it("is silent and gone after close", async () => {
  await listener.close();
  await until("the end of the connection", async () => (await connections()) === 0);
  await admin.query("notify builds_added");
  await database.jobsets();
  expect(heard).toEqual([]);
  expect(() => listener.start()).toThrow(/closed/);
});
