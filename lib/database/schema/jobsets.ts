/** Jobsets and their inputs. */
import { sql } from "drizzle-orm";
import {
  boolean,
  check,
  foreignKey,
  index,
  integer,
  pgTable,
  primaryKey,
  serial,
  text,
  unique,
} from "drizzle-orm/pg-core";
import { projects } from "./projects.js";
import { users } from "./users.js";

/** Jobsets: what is evaluated, and their share of the machines. */
export const jobsets = pgTable(
  "jobsets",
  {
    name: text("name").notNull(),
    id: serial("id").notNull(),
    project: text("project").notNull(),
    description: text("description"),
    nixExprInput: text("nixexprinput"),
    nixExprPath: text("nixexprpath"),
    errorMsg: text("errormsg"),
    errorTime: integer("errortime"),
    lastCheckedTime: integer("lastcheckedtime"),
    triggerTime: integer("triggertime"),
    enabled: integer("enabled").notNull().default(1),
    enableEmail: integer("enableemail").notNull().default(1),
    hidden: integer("hidden").notNull().default(0),
    emailOverride: text("emailoverride").notNull(),
    keepNr: integer("keepnr").notNull().default(3),
    checkInterval: integer("checkinterval").notNull().default(300),
    schedulingShares: integer("schedulingshares").notNull().default(100),
    fetchErrorMsg: text("fetcherrormsg"),
    forceEval: boolean("forceeval"),
    startTime: integer("starttime"),
    type: integer("type").notNull().default(0),
    flake: text("flake"),
    enableDynamicRunCommand: boolean("enable_dynamic_run_command").notNull().default(false),
  },
  (table) => [
    check(
      "jobsets_flake_paths_check",
      sql`(type = 1) = ((nixexprinput IS NULL) AND (nixexprpath IS NULL) AND (flake IS NOT NULL))`,
    ),
    check(
      "jobsets_legacy_paths_check",
      sql`(type = 0) = ((nixexprinput IS NOT NULL) AND (nixexprpath IS NOT NULL) AND (flake IS NULL))`,
    ),
    check("jobsets_schedulingshares_nonzero_check", sql`schedulingshares > 0`),
    check("jobsets_type_known_check", sql`(type = 0) OR (type = 1)`),
    foreignKey({ name: "jobsets_project_fkey", columns: [table.project], foreignColumns: [projects.name] })
      .onUpdate("cascade")
      .onDelete("cascade"),
    primaryKey({ name: "jobsets_pkey", columns: [table.project, table.name] }),
    unique("jobsets_id_unique").on(table.id),
  ],
);

/** Former names of jobsets. */
export const jobsetRenames = pgTable(
  "jobsetrenames",
  {
    project: text("project").notNull(),
    from: text("from_").notNull(),
    to: text("to_").notNull(),
  },
  (table) => [
    foreignKey({
      name: "jobsetrenames_project_fkey",
      columns: [table.project],
      foreignColumns: [projects.name],
    })
      .onUpdate("cascade")
      .onDelete("cascade"),
    foreignKey({
      name: "jobsetrenames_project_to__fkey",
      columns: [table.project, table.to],
      foreignColumns: [jobsets.project, jobsets.name],
    })
      .onUpdate("cascade")
      .onDelete("cascade"),
    primaryKey({ name: "jobsetrenames_pkey", columns: [table.project, table.from] }),
  ],
);

/** Inputs of jobsets. */
export const jobsetInputs = pgTable(
  "jobsetinputs",
  {
    project: text("project").notNull(),
    jobset: text("jobset").notNull(),
    name: text("name").notNull(),
    type: text("type").notNull(),
    emailResponsible: integer("emailresponsible").notNull().default(0),
  },
  (table) => [
    foreignKey({
      name: "jobsetinputs_project_jobset_fkey",
      columns: [table.project, table.jobset],
      foreignColumns: [jobsets.project, jobsets.name],
    })
      .onUpdate("cascade")
      .onDelete("cascade"),
    primaryKey({ name: "jobsetinputs_pkey", columns: [table.project, table.jobset, table.name] }),
  ],
);

/** Values of the inputs of jobsets. */
export const jobsetInputAlts = pgTable(
  "jobsetinputalts",
  {
    project: text("project").notNull(),
    jobset: text("jobset").notNull(),
    input: text("input").notNull(),
    altNr: integer("altnr").notNull(),
    value: text("value"),
    revision: text("revision"),
  },
  (table) => [
    foreignKey({
      name: "jobsetinputalts_project_jobset_input_fkey",
      columns: [table.project, table.jobset, table.input],
      foreignColumns: [jobsetInputs.project, jobsetInputs.jobset, jobsetInputs.name],
    })
      .onUpdate("cascade")
      .onDelete("cascade"),
    primaryKey({
      name: "jobsetinputalts_pkey",
      columns: [table.project, table.jobset, table.input, table.altNr],
    }),
    index("indexjobsetinputaltsoninput").on(table.project, table.jobset, table.input),
    index("indexjobsetinputaltsonjobset").on(table.project, table.jobset),
  ],
);

/** Jobs that users marked. */
export const starredJobs = pgTable(
  "starredjobs",
  {
    username: text("username").notNull(),
    project: text("project").notNull(),
    jobset: text("jobset").notNull(),
    job: text("job").notNull(),
  },
  (table) => [
    foreignKey({
      name: "starredjobs_project_fkey",
      columns: [table.project],
      foreignColumns: [projects.name],
    })
      .onUpdate("cascade")
      .onDelete("cascade"),
    foreignKey({
      name: "starredjobs_project_jobset_fkey",
      columns: [table.project, table.jobset],
      foreignColumns: [jobsets.project, jobsets.name],
    })
      .onUpdate("cascade")
      .onDelete("cascade"),
    foreignKey({
      name: "starredjobs_username_fkey",
      columns: [table.username],
      foreignColumns: [users.username],
    })
      .onUpdate("cascade")
      .onDelete("cascade"),
    primaryKey({
      name: "starredjobs_pkey",
      columns: [table.username, table.project, table.jobset, table.job],
    }),
  ],
);
