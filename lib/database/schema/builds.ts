/** Builds and what is known of their results. */
import { sql } from "drizzle-orm";
import {
  bigint,
  boolean,
  check,
  doublePrecision,
  foreignKey,
  index,
  integer,
  pgTable,
  primaryKey,
  serial,
  text,
  unique,
  uuid,
} from "drizzle-orm/pg-core";
import { jobsets } from "./jobsets.js";
import { projects } from "./projects.js";

/** Builds: what was asked for, and how it ended. */
export const builds = pgTable(
  "builds",
  {
    id: serial("id").notNull(),
    finished: integer("finished").notNull(),
    timestamp: integer("timestamp").notNull(),
    jobsetId: integer("jobset_id").notNull(),
    job: text("job").notNull(),
    nixName: text("nixname"),
    description: text("description"),
    drvPath: text("drvpath").notNull(),
    system: text("system").notNull(),
    license: text("license"),
    homepage: text("homepage"),
    maintainers: text("maintainers"),
    maxSilent: integer("maxsilent").default(3600),
    timeout: integer("timeout").default(36000),
    isChannel: integer("ischannel").notNull().default(0),
    isCurrent: integer("iscurrent").default(0),
    priority: integer("priority").notNull().default(0),
    globalPriority: integer("globalpriority").notNull().default(0),
    startTime: integer("starttime"),
    stopTime: integer("stoptime"),
    isCachedBuild: integer("iscachedbuild"),
    buildStatus: integer("buildstatus"),
    size: bigint("size", { mode: "number" }),
    closureSize: bigint("closuresize", { mode: "number" }),
    releaseName: text("releasename"),
    keep: integer("keep").notNull().default(0),
    notificationPendingSince: integer("notificationpendingsince"),
  },
  (table) => [
    check("builds_check", sql`(finished = 0) OR ((stoptime IS NOT NULL) AND (stoptime <> 0))`),
    check("builds_check1", sql`(finished = 0) OR ((starttime IS NOT NULL) AND (starttime <> 0))`),
    foreignKey({
      name: "builds_jobset_id_fkey",
      columns: [table.jobsetId],
      foreignColumns: [jobsets.id],
    }).onDelete("cascade"),
    primaryKey({ name: "builds_pkey", columns: [table.id] }),
    index("indexbuildsjobsetidcurrent").on(table.jobsetId).where(sql`iscurrent = 1`),
    index("indexbuildsjobsetidcurrentfinishedstatus")
      .on(table.jobsetId, table.buildStatus)
      .where(sql`(iscurrent = 1) AND (finished = 1)`),
    index("indexbuildsjobsetidcurrentunfinished")
      .on(table.jobsetId)
      .where(sql`(iscurrent = 1) AND (finished = 0)`),
    index("indexbuildsondrvpath").on(table.drvPath),
    index("indexbuildsonfinished").on(table.finished).where(sql`finished = 0`),
    index("indexbuildsonfinishedstoptime").on(table.finished, table.stopTime.desc()),
    index("indexbuildsoniscurrent").on(table.isCurrent).where(sql`iscurrent = 1`),
    index("indexbuildsonjobsetidfinishedid").on(table.jobsetId, table.job, table.finished, table.id.desc()),
    index("indexbuildsonkeep").on(table.keep).where(sql`keep = 1`),
    index("indexbuildsonnotificationpendingsince")
      .on(table.notificationPendingSince)
      .where(sql`notificationpendingsince IS NOT NULL`),
    index("indexbuildsontimestamp").on(table.timestamp),
    index("indexfinishedsuccessfulbuilds")
      .on(table.jobsetId, table.job, table.finished, table.buildStatus, table.id.desc())
      .where(sql`(buildstatus = 0) AND (finished = 1)`),
    index("indextrgmbuildsondrvpath").using("gin", table.drvPath.op("gin_trgm_ops")),
  ],
);

/** The builds that an aggregate job consists of. */
export const aggregateConstituents = pgTable(
  "aggregateconstituents",
  {
    aggregate: integer("aggregate").notNull(),
    constituent: integer("constituent").notNull(),
  },
  (table) => [
    foreignKey({
      name: "aggregateconstituents_aggregate_fkey",
      columns: [table.aggregate],
      foreignColumns: [builds.id],
    }).onDelete("cascade"),
    foreignKey({
      name: "aggregateconstituents_constituent_fkey",
      columns: [table.constituent],
      foreignColumns: [builds.id],
    }).onDelete("cascade"),
    primaryKey({ name: "aggregateconstituents_pkey", columns: [table.aggregate, table.constituent] }),
  ],
);

/** Jobset inputs of a build; no longer written. */
export const buildInputs = pgTable(
  "buildinputs",
  {
    id: serial("id").notNull(),
    build: integer("build"),
    name: text("name").notNull(),
    type: text("type").notNull(),
    uri: text("uri"),
    revision: text("revision"),
    value: text("value"),
    emailResponsible: integer("emailresponsible").notNull().default(0),
    dependency: integer("dependency"),
    path: text("path"),
    sha256Hash: text("sha256hash"),
  },
  (table) => [
    foreignKey({
      name: "buildinputs_build_fkey",
      columns: [table.build],
      foreignColumns: [builds.id],
    }).onDelete("cascade"),
    foreignKey({
      name: "buildinputs_dependency_fkey",
      columns: [table.dependency],
      foreignColumns: [builds.id],
    }),
    primaryKey({ name: "buildinputs_pkey", columns: [table.id] }),
    index("indexbuildinputsonbuild").on(table.build),
    index("indexbuildinputsondependency").on(table.dependency),
  ],
);

/** Output paths of builds, by output name. */
export const buildOutputs = pgTable(
  "buildoutputs",
  {
    build: integer("build").notNull(),
    name: text("name").notNull(),
    path: text("path"),
  },
  (table) => [
    foreignKey({
      name: "buildoutputs_build_fkey",
      columns: [table.build],
      foreignColumns: [builds.id],
    }).onDelete("cascade"),
    primaryKey({ name: "buildoutputs_pkey", columns: [table.build, table.name] }),
    index("indexbuildoutputspath").using("hash", table.path),
  ],
);

/** Build products, numbered from 1. */
export const buildProducts = pgTable(
  "buildproducts",
  {
    build: integer("build").notNull(),
    productNr: integer("productnr").notNull(),
    type: text("type").notNull(),
    subtype: text("subtype").notNull(),
    fileSize: bigint("filesize", { mode: "number" }),
    sha256Hash: text("sha256hash"),
    path: text("path"),
    name: text("name").notNull(),
    defaultPath: text("defaultpath"),
  },
  (table) => [
    foreignKey({
      name: "buildproducts_build_fkey",
      columns: [table.build],
      foreignColumns: [builds.id],
    }).onDelete("cascade"),
    primaryKey({ name: "buildproducts_pkey", columns: [table.build, table.productNr] }),
    index("indexbuildproducstonbuildandtype").on(table.build, table.type),
    index("indexbuildproductsonbuild").on(table.build),
  ],
);

/** Metrics of builds, by name. */
export const buildMetrics = pgTable(
  "buildmetrics",
  {
    build: integer("build").notNull(),
    name: text("name").notNull(),
    unit: text("unit"),
    value: doublePrecision("value").notNull(),
    project: text("project").notNull(),
    jobset: text("jobset").notNull(),
    job: text("job").notNull(),
    timestamp: integer("timestamp").notNull(),
  },
  (table) => [
    foreignKey({
      name: "buildmetrics_build_fkey",
      columns: [table.build],
      foreignColumns: [builds.id],
    }).onDelete("cascade"),
    foreignKey({
      name: "buildmetrics_project_fkey",
      columns: [table.project],
      foreignColumns: [projects.name],
    }).onUpdate("cascade"),
    foreignKey({
      name: "buildmetrics_project_jobset_fkey",
      columns: [table.project, table.jobset],
      foreignColumns: [jobsets.project, jobsets.name],
    }).onUpdate("cascade"),
    primaryKey({ name: "buildmetrics_pkey", columns: [table.build, table.name] }),
    index("indexbuildmetricsonjobtimestamp").on(
      table.project,
      table.jobset,
      table.job,
      table.timestamp.desc(),
    ),
  ],
);

/** Commands that hydra-notify ran for builds. */
export const runCommandLogs = pgTable(
  "runcommandlogs",
  {
    id: serial("id").notNull(),
    uuid: uuid("uuid").notNull(),
    jobMatcher: text("job_matcher").notNull(),
    buildId: integer("build_id").notNull(),
    command: text("command").notNull(),
    startTime: integer("start_time"),
    endTime: integer("end_time"),
    errorNumber: integer("error_number"),
    exitCode: integer("exit_code"),
    signal: integer("signal"),
    coreDumped: boolean("core_dumped"),
  },
  (table) => [
    check("runcommandlogs_end_time_has_start_time", sql`(end_time IS NULL) OR (start_time IS NOT NULL)`),
    check(
      "runcommandlogs_not_started_no_exit_time_no_code",
      sql`(start_time IS NOT NULL) OR ((end_time IS NULL) AND (error_number IS NULL) AND (exit_code IS NULL) AND (signal IS NULL) AND (core_dumped IS NULL))`,
    ),
    foreignKey({
      name: "runcommandlogs_build_id_fkey",
      columns: [table.buildId],
      foreignColumns: [builds.id],
    }).onDelete("cascade"),
    primaryKey({ name: "runcommandlogs_pkey", columns: [table.id] }),
    unique("runcommandlogs_uuid_unique").on(table.uuid),
    index("indexruncommandlogsonbuildid").on(table.buildId),
  ],
);
