/**
 * Queries of your own with drizzle, in the transactions of a `HydraDatabase`.
 *
 * An entrance of its own because drizzle's declarations mention drivers that are not installed: a program that checks
 * the declarations of its libraries (`skipLibCheck: false`) finds errors in them.
 */

/** The connection of a session, as drizzle wants it. */
export { drizzleOn } from "./drizzle-session.js";
/** Hydra's tables. */
export * as schema from "./schema/index.js";
