/** Creates Hydra's schema in an empty database, or checks that an existing schema is usable. */

import { getTableConfig } from "drizzle-orm/pg-core";
import { aLogger, checkArgument, having } from "../argument-checks.js";
import { UsageError } from "../errors.js";
import type { Logger } from "../log.js";
import type { HydraDatabase } from "./hydra-database.js";
import { migrations } from "./migrations/index.js";
import * as schema from "./schema/index.js";
import type { Session, Transaction } from "./session.js";

/** The version that we know; also the oldest that we work with. */
export const schemaVersion = 87;
/** Of two programs that find the database empty, one creates the tables. */
const migrationLock = 1_215_913_550;

/** Tables that the runner reads or writes. Others may look as they like. */
const neededTables = [
  schema.builds,
  schema.buildOutputs,
  schema.buildProducts,
  schema.buildMetrics,
  schema.buildSteps,
  schema.buildStepOutputs,
  schema.failedPaths,
  schema.jobsets,
];

/**
 * Creates the schema in an empty database; checks the one that is there otherwise, and never changes it.
 *
 * @throws UsageError for a schema that is too old, or for tables that are not Hydra's
 */
export async function migrate(
  database: Pick<HydraDatabase, "read" | "transaction">,
  logger: Logger,
): Promise<{ readonly created: boolean }> {
  checkArgument("migrate", "database", database, having("a HydraDatabase", ["read", "transaction"]));
  checkArgument("migrate", "logger", logger, aLogger);
  let created = false;
  let version = await database.read(readVersion);
  if (version === undefined) {
    created = await database.transaction(createSchema, { idempotent: true });
    version = await database.read(readVersion);
  }
  if (version === undefined || version < schemaVersion) {
    throw new UsageError(
      `the database has version ${version ?? "none"} of Hydra's schema, but ${schemaVersion} is needed; run hydra-init`,
    );
  }
  if (version > schemaVersion) {
    logger.warn("the database has a newer schema than this program knows", {
      version,
      known: schemaVersion,
    });
  }
  const missing = await database.read(missingColumns);
  if (missing.length > 0) {
    throw new UsageError(
      `the database lacks columns of Hydra's schema: ${missing.join(", ")}; run hydra-init`,
    );
  }
  return { created };
}

/** Undefined when the schema is absent; 0 for a table of versions without a row. */
async function readVersion(session: Session): Promise<number | undefined> {
  const { rows } = await session.query<{ present: boolean }>(
    "SELECT to_regclass('schemaversion') IS NOT NULL AS present",
  );
  if (rows[0]?.present !== true) return undefined;
  const found = await session.query<{ version: number | null }>(
    "SELECT max(version) AS version FROM schemaversion",
  );
  return found.rows[0]?.version ?? 0;
}

/** False when another process was faster. */
async function createSchema(transaction: Transaction): Promise<boolean> {
  await transaction.query("SELECT pg_advisory_xact_lock($1)", [migrationLock]);
  if ((await readVersion(transaction)) !== undefined) return false;
  const { rows } = await transaction.query<{ name: string }>(
    "SELECT relname AS name FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' LIMIT 1",
  );
  const stranger = rows[0]?.name;
  if (stranger !== undefined) {
    throw new UsageError(
      `the database is not Hydra's: it has a table ${stranger}, but no table schemaversion`,
    );
  }
  for (const { sql } of migrations) await transaction.query(sql);
  return true;
}

async function missingColumns(session: Session): Promise<string[]> {
  const { rows } = await session.query<{ tablename: string; columnname: string }>(
    `SELECT c.relname AS tablename, a.attname AS columnname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
      WHERE c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = to_regclass('schemaversion'))
        AND a.attnum > 0
        AND NOT a.attisdropped`,
  );
  const present = new Set(rows.map((row) => `${row.tablename}.${row.columnname}`));
  return neededTables.flatMap((table) => {
    const { name, columns } = getTableConfig(table);
    return columns.map((column) => `${name}.${column.name}`).filter((column) => !present.has(column));
  });
}
