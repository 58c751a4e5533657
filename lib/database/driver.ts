/**
 * The PostgreSQL driver, loaded by the first connection instead of the first import: it costs 90 ms, which a program that only
 * imports the library or runs a builder need not pay. `require` keeps the constructors that use it synchronous.
 */
import { createRequire } from "node:module";

type Driver = typeof import("pg");

let loaded: Driver | undefined;

/** The driver `pg`. */
export function driver(): Driver {
  loaded ??= createRequire(import.meta.url)("pg") as Driver;
  return loaded;
}
