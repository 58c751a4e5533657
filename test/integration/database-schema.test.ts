// The schema we make is the schema Hydra makes.
import { readFileSync } from "node:fs";
import { is } from "drizzle-orm";
import { getTableConfig, PgTable } from "drizzle-orm/pg-core";
import type pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { schema } from "../../lib/database/drizzle.js";
import { connectionSettings, HydraDatabase, migrate, openHydraDatabase } from "../../lib/database/index.js";
import { UsageError } from "../../lib/errors.js";
import { createLogger, silentLogger } from "../../lib/log.js";
import { startPostgres, type TestPostgres } from "../support/postgres.js";

interface Named {
  readonly name: string;
  readonly definition: string;
}
interface Table {
  readonly columns: readonly {
    readonly name: string;
    readonly type: string;
    readonly notNull: boolean;
    readonly default: string | null;
  }[];
  readonly constraints: readonly (Named & { readonly type: string })[] | null;
  readonly indexes: readonly Named[] | null;
  readonly triggers: readonly Named[] | null;
}
interface Catalog {
  readonly extensions: readonly string[];
  readonly tables: Readonly<Record<string, Table>>;
  readonly functions: readonly {
    readonly name: string;
    readonly returns: string;
    readonly notifies: string[] | null;
  }[];
}

const catalog = JSON.parse(
  readFileSync(new URL("../fixtures/database-catalog.json", import.meta.url), "utf8"),
) as Catalog;

let postgres: TestPostgres;
let client: pg.Client;
beforeAll(async () => {
  postgres = await startPostgres();
  client = await postgres.client(await postgres.database());
});
afterAll(() => postgres.close());

const byName = <T extends Named>(list: readonly T[] | null): T[] =>
  [...(list ?? [])].sort((a, b) => (a.name < b.name ? -1 : 1));

async function readTable(name: string): Promise<Table> {
  const { rows: columns } = await client.query<Table["columns"][number]>(
    `select a.attname as name, format_type(a.atttypid, a.atttypmod) as type, a.attnotnull as "notNull",
            pg_get_expr(d.adbin, d.adrelid) as default
       from pg_attribute a left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
      where a.attrelid = $1::regclass and a.attnum > 0 and not a.attisdropped order by a.attnum`,
    [name],
  );
  const { rows: constraints } = await client.query<Named & { type: string }>(
    // Newer servers list "not null" among the constraints.
    `select conname as name, contype as type, pg_get_constraintdef(oid) as definition from pg_constraint
      where conrelid = $1::regclass and contype in ('p', 'u', 'f', 'c')`,
    [name],
  );
  const { rows: indexes } = await client.query<Named>(
    "select indexname as name, indexdef as definition from pg_indexes where schemaname = 'public' and tablename = $1",
    [name],
  );
  const { rows: triggers } = await client.query<Named>(
    `select tgname as name, pg_get_triggerdef(oid) as definition from pg_trigger
      where tgrelid = $1::regclass and not tgisinternal`,
    [name],
  );
  return {
    columns,
    constraints: byName(constraints),
    indexes: byName(indexes),
    triggers: byName(triggers),
  };
}

describe("a migrated database", () => {
  it("has exactly Hydra's tables", async () => {
    const { rows } = await client.query<{ tablename: string }>(
      "select tablename from pg_tables where schemaname = 'public' order by 1",
    );
    expect(rows.map((row) => row.tablename)).toEqual(Object.keys(catalog.tables).sort());
  });

  it.each(Object.keys(catalog.tables))("has table %s as Hydra has it", async (name) => {
    const expected = catalog.tables[name]!;
    expect(await readTable(name)).toEqual({
      columns: expected.columns,
      constraints: byName(expected.constraints),
      indexes: byName(expected.indexes),
      triggers: byName(expected.triggers),
    });
  });

  it("has the extensions and functions, and each function notifies its channel", async () => {
    const { rows: extensions } = await client.query<{ extname: string }>(
      "select extname from pg_extension order by 1",
    );
    expect(extensions.map((row) => row.extname)).toEqual([...catalog.extensions].sort());
    const { rows } = await client.query<{ name: string; returns: string; source: string }>(
      `select proname as name, prorettype::regtype::text as returns, prosrc as source from pg_proc
        where pronamespace = 'public'::regnamespace
          and not exists (select from pg_depend where objid = pg_proc.oid and deptype = 'e') order by 1`,
    );
    expect(
      rows.map(({ name, returns, source }) => ({
        name,
        returns,
        notifies: source.match(/(?<=\bnotify )\w+/g),
      })),
    ).toEqual(catalog.functions);
  });

  it("counts finished builds, and takes a failed path twice", async () => {
    const finished = async (): Promise<number> =>
      (await client.query<{ count: number }>("select count from nrbuilds where what = 'finished'")).rows[0]!
        .count;
    await client.query(
      `insert into builds (id, finished, timestamp, jobset_id, job, drvpath, system)
         select n, 0, 1, 1, 'j', '/nix/store/x.drv', 'x' from generate_series(100, 102) n`,
    );
    const before = await finished();
    await client.query("update builds set finished = 1, starttime = 1, stoptime = 1 where id in (100, 101)");
    expect(await finished()).toBe(before + 2);
    await client.query("update builds set finished = 0 where id = 100");
    expect(await finished()).toBe(before + 1);
    await client.query("delete from builds where id in (100, 101, 102)");
    expect(await finished()).toBe(before);
    await client.query("insert into failedpaths values ('/nix/store/a')");
    await client.query("insert into failedpaths values ('/nix/store/a')");
    expect((await client.query("select * from failedpaths")).rows).toHaveLength(1);
  });
});

it("drizzle's tables are the catalog's", () => {
  const tables = Object.values(schema)
    .filter((entry) => is(entry, PgTable))
    .map((table) => getTableConfig(table));
  expect(tables.map((table) => table.name).sort()).toEqual(Object.keys(catalog.tables).sort());
  for (const table of tables) {
    const expected = catalog.tables[table.name]!;
    expect(
      table.columns.map((column) => ({
        name: column.name,
        type: column.getSQLType().replace(/^serial$/, "integer"),
        notNull: column.notNull,
      })),
      table.name,
    ).toEqual(expected.columns.map(({ name, type, notNull }) => ({ name, type, notNull })));
    const constraints = [
      ...table.primaryKeys.map((key) => key.getName()),
      ...table.foreignKeys.map((key) => key.getName()),
      ...table.checks.map((check) => check.name),
      ...table.uniqueConstraints.map((unique) => unique.getName()),
    ];
    expect(new Set(constraints), table.name).toEqual(
      new Set(byName(expected.constraints).map(({ name }) => name)),
    );
    const indexes = table.indexes.map((index) => index.config.name);
    const own = byName(expected.indexes).filter(({ name }) => !constraints.includes(name));
    expect(new Set(indexes), table.name).toEqual(new Set(own.map(({ name }) => name)));
  }
});

describe("opening", () => {
  const open = (url: string, dataDir = "/nonexistent") =>
    openHydraDatabase({ url, dataDir, maxConnections: 5 });

  it("creates the schema once in an empty database, also when two do it at the same moment", async () => {
    const url = await postgres.emptyDatabase();
    const both = await Promise.all([open(url), open(url)]);
    for (const database of both) {
      expect(await database.jobsets()).toEqual([]);
      await database.close();
    }
  });

  it("refuses a schema that is too old, and warns of one that is newer", async () => {
    const url = await postgres.database();
    const admin = await postgres.client(url);
    await admin.query("update schemaversion set version = 86");
    await expect(open(url)).rejects.toThrow(/version 86.*run hydra-init/);
    await admin.query("update schemaversion set version = 88");
    const lines: string[] = [];
    const logger = createLogger({ target: "t", write: (line) => lines.push(line) });
    const database = await openHydraDatabase({ url, dataDir: "/nonexistent", logger });
    await database.close();
    expect(lines.join("\n")).toMatch(/WARN.*newer schema.*version=88/);
  });

  it("refuses a schema without a column that it needs, and a database of others, and changes neither", async () => {
    const lacking = await postgres.database();
    await (await postgres.client(lacking)).query("alter table buildsteps drop column overhead");
    await expect(open(lacking)).rejects.toThrow(/lacks columns.*buildsteps\.overhead/);
    const foreign = await postgres.emptyDatabase();
    const admin = await postgres.client(foreign);
    await admin.query("create table customers (id int)");
    await expect(open(foreign)).rejects.toThrow(/not Hydra's/);
    const { rows } = await admin.query("select tablename from pg_tables where schemaname = 'public'");
    expect(rows).toEqual([{ tablename: "customers" }]);
  });

  it("does not wait for what waiting cannot mend", async () => {
    const url = await postgres.database();
    await expect(open(url.replace(/[^/]*$/, "no_such_db"))).rejects.toThrow(UsageError);
    await expect(open(url.replace("//hydra@", "//stranger@"))).rejects.toThrow(UsageError);
    await expect(open("mysql://x")).rejects.toThrow(UsageError);
  });

  it("reads times that are 64-bit columns as numbers", async () => {
    const url = await postgres.database();
    const admin = await postgres.client(url);
    await admin.query("alter table builds alter column timestamp type bigint");
    await admin.query(
      "alter table buildsteps alter column starttime type bigint, alter column stoptime type bigint",
    );
    const database = new HydraDatabase({ settings: connectionSettings(url), maxConnections: 2 });
    await migrate(database, silentLogger);
    const id = (await database.submitBuild({ jobsetId: 1, drvPath: "/nix/store/a.drv", system: "x" }))!;
    await admin.query(
      `insert into buildsteps (build, stepnr, type, drvpath, busy, status, starttime, stoptime)
         values ($1, 1, 0, '/nix/store/a.drv', 0, 0, 5000000000, 5000000009)`,
      [id],
    );
    expect((await database.unfinishedBuilds()).builds[0]?.timestamp).toBeTypeOf("number");
    expect(await database.jobsetUsage([1], 0)).toEqual(
      new Map([[1, [{ startTime: 5_000_000_000, stopTime: 5_000_000_009 }]]]),
    );
    await database.close();
  });
});
