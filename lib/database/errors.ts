/** Errors of the database room. */
import { HydraError } from "../errors.js";

/**
 * `unavailable`: the database cannot be reached now, trying later may help; `unknown-outcome`: the connection broke
 * while a transaction was being committed; `fenced`: another runner owns the database, so nothing may be written;
 * `conflict`: a transaction kept colliding with others; `schema`: a row or the schema is not what it must be;
 * `embedded`: the PostgreSQL of our own does not work; `closed`: used after `close()`.
 */
export type DatabaseErrorCode =
  | "unavailable"
  | "unknown-outcome"
  | "fenced"
  | "conflict"
  | "schema"
  | "embedded"
  | "closed";

/** An operation on the database that failed; `code` says how, `cause` is what the driver reported. */
export class DatabaseError extends HydraError {
  readonly code: DatabaseErrorCode;

  constructor(code: DatabaseErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}
