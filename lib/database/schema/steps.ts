/** Build steps: one row for each attempt at a derivation. */
import { sql } from "drizzle-orm";
import { boolean, check, foreignKey, index, integer, pgTable, primaryKey, text } from "drizzle-orm/pg-core";
import { builds } from "./builds.js";

/**
 * Steps of builds: one row for each attempt, copy and substitution. See `status-numbers.ts` for its numbers.
 */
export const buildSteps = pgTable(
  "buildsteps",
  {
    build: integer("build").notNull(),
    stepNr: integer("stepnr").notNull(),
    type: integer("type").notNull(),
    drvPath: text("drvpath").notNull(),
    busy: integer("busy").notNull(),
    status: integer("status"),
    errorMsg: text("errormsg"),
    startTime: integer("starttime"),
    stopTime: integer("stoptime"),
    machine: text("machine").notNull().default(""),
    system: text("system"),
    propagatedFrom: integer("propagatedfrom"),
    overhead: integer("overhead"),
    timesBuilt: integer("timesbuilt"),
    isNonDeterministic: boolean("isnondeterministic"),
    resolvedDrvPath: text("resolveddrvpath"),
  },
  (table) => [
    check("buildsteps_check", sql`(status = 13) = (resolveddrvpath IS NOT NULL)`),
    foreignKey({
      name: "buildsteps_build_fkey",
      columns: [table.build],
      foreignColumns: [builds.id],
    }).onDelete("cascade"),
    foreignKey({
      name: "buildsteps_propagatedfrom_fkey",
      columns: [table.propagatedFrom],
      foreignColumns: [builds.id],
    }).onDelete("cascade"),
    primaryKey({ name: "buildsteps_pkey", columns: [table.build, table.stepNr] }),
    index("indexbuildstepsonbusy").on(table.busy).where(sql`busy <> 0`),
    index("indexbuildstepsondrvpath").on(table.drvPath),
    index("indexbuildstepsonpropagatedfrom").on(table.propagatedFrom).where(sql`propagatedfrom IS NOT NULL`),
    index("indexbuildstepsonstoptime")
      .on(table.stopTime.desc())
      .where(sql`(starttime IS NOT NULL) AND (stoptime IS NOT NULL)`),
  ],
);

/** Output paths of steps, by output name; null while only the build can tell. */
export const buildStepOutputs = pgTable(
  "buildstepoutputs",
  {
    build: integer("build").notNull(),
    stepNr: integer("stepnr").notNull(),
    name: text("name").notNull(),
    path: text("path"),
  },
  (table) => [
    foreignKey({
      name: "buildstepoutputs_build_fkey",
      columns: [table.build],
      foreignColumns: [builds.id],
    }).onDelete("cascade"),
    foreignKey({
      name: "buildstepoutputs_build_stepnr_fkey",
      columns: [table.build, table.stepNr],
      foreignColumns: [buildSteps.build, buildSteps.stepNr],
    }).onDelete("cascade"),
    primaryKey({ name: "buildstepoutputs_pkey", columns: [table.build, table.stepNr, table.name] }),
    index("indexbuildstepoutputsonpath").on(table.path),
  ],
);

/** Output paths whose derivation failed and is not tried again. */
export const failedPaths = pgTable(
  "failedpaths",
  {
    path: text("path").notNull(),
  },
  (table) => [primaryKey({ name: "failedpaths_pkey", columns: [table.path] })],
);
