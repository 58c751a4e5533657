/** What the evaluator remembers of fetched inputs. */
import { boolean, index, integer, pgTable, primaryKey, text } from "drizzle-orm/pg-core";

/** Evaluator's cache of `path` inputs. */
export const cachedPathInputs = pgTable(
  "cachedpathinputs",
  {
    srcPath: text("srcpath").notNull(),
    timestamp: integer("timestamp").notNull(),
    lastSeen: integer("lastseen").notNull(),
    sha256Hash: text("sha256hash").notNull(),
    storePath: text("storepath").notNull(),
  },
  (table) => [primaryKey({ name: "cachedpathinputs_pkey", columns: [table.srcPath, table.sha256Hash] })],
);

/** Evaluator's cache of Subversion inputs. */
export const cachedSubversionInputs = pgTable(
  "cachedsubversioninputs",
  {
    uri: text("uri").notNull(),
    revision: integer("revision").notNull(),
    sha256Hash: text("sha256hash").notNull(),
    storePath: text("storepath").notNull(),
  },
  (table) => [
    primaryKey({ name: "cachedsubversioninputs_pkey", columns: [table.uri, table.revision] }),
    index("indexcachedsubversioninputsonurirevision").on(table.uri, table.revision),
  ],
);

/** Evaluator's cache of Bazaar inputs. */
export const cachedBazaarInputs = pgTable(
  "cachedbazaarinputs",
  {
    uri: text("uri").notNull(),
    revision: integer("revision").notNull(),
    sha256Hash: text("sha256hash").notNull(),
    storePath: text("storepath").notNull(),
  },
  (table) => [
    primaryKey({ name: "cachedbazaarinputs_pkey", columns: [table.uri, table.revision] }),
    index("indexcachedbazaarinputsonurirevision").on(table.uri, table.revision),
  ],
);

/** Evaluator's cache of Git inputs. */
export const cachedGitInputs = pgTable(
  "cachedgitinputs",
  {
    uri: text("uri").notNull(),
    branch: text("branch").notNull(),
    revision: text("revision").notNull(),
    isDeepClone: boolean("isdeepclone").notNull(),
    sha256Hash: text("sha256hash").notNull(),
    storePath: text("storepath").notNull(),
  },
  (table) => [
    primaryKey({
      name: "cachedgitinputs_pkey",
      columns: [table.uri, table.branch, table.revision, table.isDeepClone],
    }),
    index("indexcachedgitinputsonhash").on(table.uri, table.branch, table.sha256Hash),
  ],
);

/** Evaluator's cache of Darcs inputs. */
export const cachedDarcsInputs = pgTable(
  "cacheddarcsinputs",
  {
    uri: text("uri").notNull(),
    revision: text("revision").notNull(),
    sha256Hash: text("sha256hash").notNull(),
    storePath: text("storepath").notNull(),
    revCount: integer("revcount").notNull(),
  },
  (table) => [primaryKey({ name: "cacheddarcsinputs_pkey", columns: [table.uri, table.revision] })],
);

/** Evaluator's cache of Mercurial inputs. */
export const cachedHgInputs = pgTable(
  "cachedhginputs",
  {
    uri: text("uri").notNull(),
    branch: text("branch").notNull(),
    revision: text("revision").notNull(),
    sha256Hash: text("sha256hash").notNull(),
    storePath: text("storepath").notNull(),
  },
  (table) => [
    primaryKey({ name: "cachedhginputs_pkey", columns: [table.uri, table.branch, table.revision] }),
    index("indexcachedhginputsonhash").on(table.uri, table.branch, table.sha256Hash),
  ],
);

/** Evaluator's cache of CVS inputs. */
export const cachedCvsInputs = pgTable(
  "cachedcvsinputs",
  {
    uri: text("uri").notNull(),
    module: text("module").notNull(),
    timestamp: integer("timestamp").notNull(),
    lastSeen: integer("lastseen").notNull(),
    sha256Hash: text("sha256hash").notNull(),
    storePath: text("storepath").notNull(),
  },
  (table) => [
    primaryKey({ name: "cachedcvsinputs_pkey", columns: [table.uri, table.module, table.sha256Hash] }),
  ],
);

/** Revisions of input URIs, as the evaluator last saw them. */
export const uriRevMapper = pgTable(
  "urirevmapper",
  {
    baseUri: text("baseuri").notNull(),
    uri: text("uri").notNull(),
  },
  (table) => [primaryKey({ name: "urirevmapper_pkey", columns: [table.baseUri] })],
);
