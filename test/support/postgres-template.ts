/**
 * A PostgreSQL data folder with Hydra's schema, made once per run: servers of tests start from copies of it, which takes
 * a fraction of the time of initdb and migrations.
 */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { Client } from "pg";
import {
  connectionSettings,
  EmbeddedPostgres,
  HydraDatabase,
  migrate,
  seedJobset,
} from "../../lib/database/index.js";
import { migrations } from "../../lib/database/migrations/index.js";
import { silentLogger } from "../../lib/log.js";

const run = promisify(execFile);

/** Where global setup tells the workers that the template is. */
const variable = "HYDRA_TEST_POSTGRES";

/** The database that has nothing but the schema. */
export const schemaDatabase = "hydra_schema";

/** Fills `folder`: the database `hydra` as this project makes it, with a jobset, and `schemaDatabase`. */
export async function makePostgresTemplate(folder: string): Promise<void> {
  const server = await EmbeddedPostgres.start({ dataDir: folder, durable: false });
  try {
    const hydra = new HydraDatabase({ settings: connectionSettings(server.url), maxConnections: 1 });
    await migrate(hydra, silentLogger);
    await hydra.transaction(seedJobset);
    await hydra.close();
    const { config } = connectionSettings(server.url);
    const query = async (database: string, texts: readonly string[]): Promise<void> => {
      const client = new Client({ ...config, database });
      await client.connect();
      for (const text of texts) await client.query(text);
      await client.end();
    };
    await query("postgres", [`create database ${schemaDatabase}`]);
    await query(
      schemaDatabase,
      migrations.map(({ sql }) => sql),
    );
  } finally {
    await server.stop();
  }
  await rm(join(folder, "postgres/server.log"), { force: true });
  process.env[variable] = folder;
}

/** Makes an empty folder one in which an embedded server was started before and stopped. */
export async function copyTemplate(dataDir: string): Promise<void> {
  const template = process.env[variable];
  if (template === undefined) throw new Error(`${variable} is set by test/support/global-setup.ts`);
  await run("cp", ["-a", join(template, "postgres"), dataDir]);
}

/** Starts a server on a copy of the template, in an empty folder or one that it was started in before. */
export async function startFromTemplate(
  dataDir: string,
  options: { readonly maxConnections?: number } = {},
): Promise<EmbeddedPostgres> {
  if (!existsSync(join(dataDir, "postgres"))) await copyTemplate(dataDir);
  return EmbeddedPostgres.start({ dataDir, durable: false, ...options });
}
