/** People and what they may do. */
import { boolean, foreignKey, integer, pgTable, primaryKey, serial, text } from "drizzle-orm/pg-core";

/** Users of the web front-end. */
export const users = pgTable(
  "users",
  {
    username: text("username").notNull(),
    fullName: text("fullname"),
    emailAddress: text("emailaddress").notNull(),
    password: text("password").notNull(),
    emailOnError: integer("emailonerror").notNull().default(0),
    type: text("type").notNull().default("hydra"),
    publicDashboard: boolean("publicdashboard").notNull().default(false),
  },
  (table) => [primaryKey({ name: "users_pkey", columns: [table.username] })],
);

/** Roles of users. */
export const userRoles = pgTable(
  "userroles",
  {
    username: text("username").notNull(),
    role: text("role").notNull(),
  },
  (table) => [
    foreignKey({
      name: "userroles_username_fkey",
      columns: [table.username],
      foreignColumns: [users.username],
    })
      .onUpdate("cascade")
      .onDelete("cascade"),
    primaryKey({ name: "userroles_pkey", columns: [table.username, table.role] }),
  ],
);

/** Announcements on the front page. */
export const newsItems = pgTable(
  "newsitems",
  {
    id: serial("id").notNull(),
    contents: text("contents").notNull(),
    createTime: integer("createtime").notNull(),
    author: text("author").notNull(),
  },
  (table) => [
    foreignKey({ name: "newsitems_author_fkey", columns: [table.author], foreignColumns: [users.username] })
      .onUpdate("cascade")
      .onDelete("cascade"),
    primaryKey({ name: "newsitems_pkey", columns: [table.id] }),
  ],
);
