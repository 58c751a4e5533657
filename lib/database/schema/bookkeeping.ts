/** Counters and notes that belong to the database as a whole. */
import { index, integer, json, pgTable, primaryKey, serial, text } from "drizzle-orm/pg-core";

/** The version of the schema, in one row. */
export const schemaVersion = pgTable("schemaversion", {
  version: integer("version").notNull(),
});

/** Counts of finished builds, kept by triggers. */
export const nrBuilds = pgTable(
  "nrbuilds",
  {
    what: text("what").notNull(),
    count: integer("count").notNull(),
  },
  (table) => [primaryKey({ name: "nrbuilds_pkey", columns: [table.what] })],
);

/** Status of Hydra's processes; no longer written. */
export const systemStatus = pgTable(
  "systemstatus",
  {
    what: text("what").notNull(),
    status: json("status").notNull(),
  },
  (table) => [primaryKey({ name: "systemstatus_pkey", columns: [table.what] })],
);

/** Plugin runs of hydra-notify that are to be retried. */
export const taskRetries = pgTable(
  "taskretries",
  {
    id: serial("id").notNull(),
    channel: text("channel").notNull(),
    pluginName: text("pluginname").notNull(),
    payload: text("payload").notNull(),
    attempts: integer("attempts").notNull(),
    retryAt: integer("retry_at").notNull(),
  },
  (table) => [
    primaryKey({ name: "taskretries_pkey", columns: [table.id] }),
    index("indextaskretriesordered").on(table.retryAt),
  ],
);
