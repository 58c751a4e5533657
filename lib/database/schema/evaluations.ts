/** Evaluations of jobsets; written by the evaluator. */
import { sql } from "drizzle-orm";
import { foreignKey, index, integer, pgTable, primaryKey, serial, smallint, text } from "drizzle-orm/pg-core";
import { builds } from "./builds.js";
import { jobsets } from "./jobsets.js";

/** Error messages of evaluations. */
export const evaluationErrors = pgTable(
  "evaluationerrors",
  {
    id: serial("id").notNull(),
    errorMsg: text("errormsg"),
    errorTime: integer("errortime"),
  },
  (table) => [primaryKey({ name: "evaluationerrors_pkey", columns: [table.id] })],
);

/** Evaluations of jobsets. */
export const jobsetEvals = pgTable(
  "jobsetevals",
  {
    id: serial("id").notNull(),
    jobsetId: integer("jobset_id").notNull(),
    evaluationerrorId: integer("evaluationerror_id"),
    timestamp: integer("timestamp").notNull(),
    checkoutTime: integer("checkouttime").notNull(),
    evalTime: integer("evaltime").notNull(),
    hasNewBuilds: integer("hasnewbuilds").notNull(),
    hash: text("hash").notNull(),
    nrBuilds: integer("nrbuilds"),
    nrSucceeded: integer("nrsucceeded"),
    flake: text("flake"),
    nixExprInput: text("nixexprinput"),
    nixExprPath: text("nixexprpath"),
  },
  (table) => [
    foreignKey({
      name: "jobsetevals_evaluationerror_id_fkey",
      columns: [table.evaluationerrorId],
      foreignColumns: [evaluationErrors.id],
    }).onDelete("set null"),
    foreignKey({
      name: "jobsetevals_jobset_id_fkey",
      columns: [table.jobsetId],
      foreignColumns: [jobsets.id],
    }).onDelete("cascade"),
    primaryKey({ name: "jobsetevals_pkey", columns: [table.id] }),
    index("indexjobsetevalsonjobsetid").on(table.jobsetId, table.id.desc()).where(sql`hasnewbuilds = 1`),
    index("indexjobsetidevals").on(table.jobsetId).where(sql`hasnewbuilds = 1`),
  ],
);

/** The inputs of evaluations. */
export const jobsetEvalInputs = pgTable(
  "jobsetevalinputs",
  {
    eval: integer("eval").notNull(),
    name: text("name").notNull(),
    altNr: integer("altnr").notNull(),
    type: text("type").notNull(),
    uri: text("uri"),
    revision: text("revision"),
    shortRevLength: smallint("shortrevlength"),
    value: text("value"),
    dependency: integer("dependency"),
    path: text("path"),
    sha256Hash: text("sha256hash"),
  },
  (table) => [
    foreignKey({
      name: "jobsetevalinputs_dependency_fkey",
      columns: [table.dependency],
      foreignColumns: [builds.id],
    }),
    foreignKey({
      name: "jobsetevalinputs_eval_fkey",
      columns: [table.eval],
      foreignColumns: [jobsetEvals.id],
    }).onDelete("cascade"),
    primaryKey({ name: "jobsetevalinputs_pkey", columns: [table.eval, table.name, table.altNr] }),
  ],
);

/** The builds of evaluations. */
export const jobsetEvalMembers = pgTable(
  "jobsetevalmembers",
  {
    eval: integer("eval").notNull(),
    build: integer("build").notNull(),
    isNew: integer("isnew").notNull(),
  },
  (table) => [
    foreignKey({
      name: "jobsetevalmembers_build_fkey",
      columns: [table.build],
      foreignColumns: [builds.id],
    }).onDelete("cascade"),
    foreignKey({
      name: "jobsetevalmembers_eval_fkey",
      columns: [table.eval],
      foreignColumns: [jobsetEvals.id],
    }).onDelete("cascade"),
    primaryKey({ name: "jobsetevalmembers_pkey", columns: [table.eval, table.build] }),
    index("indexjobsetevalmembersonbuild").on(table.build),
    index("indexjobsetevalmembersoneval").on(table.eval),
  ],
);
