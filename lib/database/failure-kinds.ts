/** What an error of the PostgreSQL driver means for its caller. */

/**
 * `lost`: no connection (any more); `conflict`: the transaction collided with another and may simply be repeated;
 * `refused`: the server does not let us in, and never will with these settings; `other`: a fault of the statement.
 */
export type FailureKind = "lost" | "conflict" | "refused" | "other";

/** serialization_failure, deadlock_detected, lock_not_available, query_canceled (our own time limits). */
const conflicts = new Set(["40001", "40P01", "55P03", "57014"]);
/** admin_shutdown, crash_shutdown, cannot_connect_now, too_many_connections, idle-in-transaction timeout. */
const losses = new Set(["57P01", "57P02", "57P03", "53300", "25P03"]);
/**
 * invalid_password, invalid_authorization, invalid_catalog_name, insufficient_privilege; and the system's, for a socket
 * whose folder this user may not enter.
 */
const refusals = new Set(["28P01", "28000", "3D000", "42501", "EACCES", "EPERM"]);
/** No way there: the network, or no descriptor or memory for a connection. */
const networkCodes = new Set([
  "EADDRNOTAVAIL",
  "EAGAIN",
  "EAI_AGAIN",
  "ECONNABORTED",
  "ECONNREFUSED",
  "ECONNRESET",
  "EHOSTDOWN",
  "EHOSTUNREACH",
  "EMFILE",
  "ENETDOWN",
  "ENETUNREACH",
  "ENFILE",
  "ENOBUFS",
  "ENOENT",
  "ENOMEM",
  "ENOTFOUND",
  "EPIPE",
  "ETIMEDOUT",
]);
/** Texts of the driver for errors that carry no code. */
const driverTexts =
  /connection terminated|connection error|timeout exceeded when trying to connect|^timeout expired$|query read timeout|client was closed|client has encountered a connection error/i;

/** The SQLSTATE or the operating system's code of an error, looked for along its causes. */
export function failureCode(thrown: unknown): string | undefined {
  let current: unknown = thrown;
  for (let depth = 0; depth < 8 && current instanceof Error; depth++) {
    // Our own errors have codes too, but in lower case words; the server's and the system's never do.
    if ("code" in current && typeof current.code === "string" && /^[0-9A-Z_]+$/.test(current.code)) {
      return current.code;
    }
    if (current instanceof AggregateError) {
      const nested: string | undefined = failureCode(current.errors[0]);
      if (nested !== undefined) return nested;
    }
    current = current.cause;
  }
  return undefined;
}

function saysLost(thrown: unknown): boolean {
  let current: unknown = thrown;
  for (let depth = 0; depth < 8 && current instanceof Error; depth++) {
    if (driverTexts.test(current.message)) return true;
    current = current.cause;
  }
  return false;
}

/** invalid_sql_statement_name and duplicate_prepared_statement: another connection than it was prepared on. */
const unprepared = new Set(["26000", "42P05"]);

/** The server does not run a statement by its name, but would by its text. */
export function refusesPrepared(thrown: unknown): boolean {
  const code = failureCode(thrown);
  if (code === undefined) return false;
  // Types of columns changed since the statement was prepared. The text of the message depends on the server's language.
  return unprepared.has(code) || (code === "0A000" && hasRoutine(thrown, "RevalidateCachedQuery"));
}

/** Whether a statement was not run because an earlier one of its transaction had failed. */
export function isAfterFailure(thrown: unknown): boolean {
  return failureCode(thrown) === "25P02";
}

function hasRoutine(thrown: unknown, routine: string): boolean {
  return thrown instanceof Error && "routine" in thrown && thrown.routine === routine;
}

/** The kind of an error that the driver threw; `other` when it does not come from the database. */
export function failureKind(thrown: unknown): FailureKind {
  const code = failureCode(thrown);
  if (code === undefined) return saysLost(thrown) ? "lost" : "other";
  if (conflicts.has(code) || refusesPrepared(thrown)) return "conflict";
  if (losses.has(code) || networkCodes.has(code) || /^08...$/.test(code)) return "lost";
  if (refusals.has(code)) return "refused";
  return "other";
}
