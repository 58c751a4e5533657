/** Projects: the owners of jobsets. */
import { boolean, foreignKey, index, integer, pgTable, primaryKey, text } from "drizzle-orm/pg-core";
import { users } from "./users.js";

/** Projects, which jobsets belong to. */
export const projects = pgTable(
  "projects",
  {
    name: text("name").notNull(),
    displayName: text("displayname").notNull(),
    description: text("description"),
    enabled: integer("enabled").notNull().default(1),
    hidden: integer("hidden").notNull().default(0),
    owner: text("owner").notNull(),
    homepage: text("homepage"),
    declFile: text("declfile"),
    declType: text("decltype"),
    declValue: text("declvalue"),
    enableDynamicRunCommand: boolean("enable_dynamic_run_command").notNull().default(false),
  },
  (table) => [
    foreignKey({
      name: "projects_owner_fkey",
      columns: [table.owner],
      foreignColumns: [users.username],
    }).onUpdate("cascade"),
    primaryKey({ name: "projects_pkey", columns: [table.name] }),
    index("indexprojectsonenabled").on(table.enabled),
  ],
);

/** Users who may change a project. */
export const projectMembers = pgTable(
  "projectmembers",
  {
    project: text("project").notNull(),
    username: text("username").notNull(),
  },
  (table) => [
    foreignKey({
      name: "projectmembers_project_fkey",
      columns: [table.project],
      foreignColumns: [projects.name],
    })
      .onUpdate("cascade")
      .onDelete("cascade"),
    foreignKey({
      name: "projectmembers_username_fkey",
      columns: [table.username],
      foreignColumns: [users.username],
    })
      .onUpdate("cascade")
      .onDelete("cascade"),
    primaryKey({ name: "projectmembers_pkey", columns: [table.project, table.username] }),
  ],
);
