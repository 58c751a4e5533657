/** The statements behind the owner lock. `owner-lock.ts` explains what the locks mean. */
import type { Client } from "pg";
import { failureCode } from "../failure-kinds.js";

/** First keys of our advisory locks: any fixed numbers that nothing else of Hydra uses. */
const ownerSpace = 1_215_913_544;
const tokenSpace = 1_215_913_545;
const ownerKey = 1;
const gateKey = 2;
/** How long a former owner's transactions may go on before their connections are ended. */
const gatePatienceMs = 4_000;
const lockNotAvailable = "55P03";
const held = `database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND locktype = 'advisory' AND objsubid = 2 AND granted`;

/**
 * The server notices within seconds when our machine is gone, and frees the lock for the standby. Servers differ in
 * what they know.
 */
const sessionSettings = `SELECT set_config(s.name, v.value, false) FROM pg_settings s JOIN (VALUES
  ('tcp_keepalives_idle', '2'), ('tcp_keepalives_interval', '1'), ('tcp_keepalives_count', '3'),
  ('tcp_user_timeout', '5000'), ('idle_session_timeout', '0'), ('statement_timeout', '0')) v (name, value)
  ON v.name = s.name`;

/** Freed early when our machine is gone, and never by an administrator's defaults. */
export async function shortenTimeouts(client: Client): Promise<void> {
  await client.query(sessionSettings);
}

/**
 * Holds the gate until the transaction ends, and looks whether the session `pid` owns the database. Two statements in
 * one message: the second must look at the locks only after the first has the gate.
 */
export function gateStatements(pid: number, token: number): string {
  return `SELECT pg_advisory_xact_lock_shared(${ownerSpace}, ${gateKey});
     SELECT count(*)::int AS locks FROM pg_locks WHERE ${held} AND pid = ${pid} AND mode = 'ExclusiveLock'
        AND ((classid = ${ownerSpace} AND objid = ${ownerKey}) OR (classid = ${tokenSpace} AND objid = ${token}))`;
}

/** Whether the answers to a message that ends in `gateStatements` say that the session owns the database. */
export function passedGate(results: unknown): boolean {
  return lastCount(results) === 2;
}

/** The session that owns the database, as far as the server lets us see it. */
export interface LockOwner {
  /** The host that the session names, or else the address that it came from. */
  readonly name: string;
  /** When the session began, in milliseconds since the epoch. */
  readonly since: number;
}

/** Name of the sessions that own the database, or wait to; the standby reads the host from it. */
export function sessionName(host: string): string {
  return `owner@${host}`;
}

/** Who owns the database; undefined: it is free. */
export async function ownerOf(client: Client): Promise<LockOwner | undefined> {
  const { rows } = await client.query<{ name: string | null; address: string | null; since: Date | null }>(
    `SELECT a.application_name AS name, host(a.client_addr) AS address, a.backend_start AS since
       FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
      WHERE ${held} AND l.classid = ${ownerSpace} AND l.objid = ${ownerKey}`,
  );
  const [owner] = rows;
  if (owner === undefined) return undefined;
  const host = /:owner@(.+)$/.exec(owner.name ?? "")?.[1];
  return { name: host ?? owner.address ?? "another runner", since: owner.since?.getTime() ?? 0 };
}

/**
 * Takes the token, which only sessions of ours have, before the owner lock: so a session that broke between the two is
 * known as ours. False when another session of ours has it.
 */
export async function lockToken(client: Client, token: number): Promise<boolean> {
  const { rows } = await client.query<{ locked: boolean }>(
    `SELECT pg_try_advisory_lock(${tokenSpace}, ${token}) AS locked`,
  );
  return rows[0]?.locked === true;
}

/** Takes the owner lock in a session that has the token; gives the token back when another runner owns the database. */
export async function tryLock(client: Client, token: number): Promise<boolean> {
  const { rows } = await client.query<{ locked: boolean }>(
    `SELECT pg_try_advisory_lock(${ownerSpace}, ${ownerKey}) AS locked`,
  );
  if (rows[0]?.locked === true) return true;
  await client.query(`SELECT pg_advisory_unlock(${tokenSpace}, ${token})`);
  return false;
}

/**
 * Waits for the transactions of a former owner; those that hang have their connections ended. New ones queue behind us,
 * and find out afterwards that they may not write.
 */
export async function closeGate(client: Client): Promise<void> {
  await client.query(`SET lock_timeout = ${gatePatienceMs}`);
  for (;;) {
    try {
      await client.query(`SELECT pg_advisory_lock(${ownerSpace}, ${gateKey})`);
      break;
    } catch (error) {
      if (failureCode(error) !== lockNotAvailable) throw error;
      await client.query(
        `SELECT pg_terminate_backend(pid) FROM pg_locks
          WHERE ${held} AND classid = ${ownerSpace} AND objid = ${gateKey} AND pid <> pg_backend_pid()`,
      );
    }
  }
  await client.query(`SELECT pg_advisory_unlock(${ownerSpace}, ${gateKey})`);
}

/** The server may still believe in broken connections of ours; the token proves that they are ours to end. */
export async function endFormerSessions(client: Client, token: number): Promise<void> {
  await client.query(
    `SELECT pg_terminate_backend(pid) FROM pg_locks
      WHERE ${held} AND classid = ${tokenSpace} AND objid = ${token} AND pid <> pg_backend_pid()`,
  );
}

function lastCount(results: unknown): number | undefined {
  const last: unknown = Array.isArray(results) ? results.at(-1) : results;
  if (typeof last !== "object" || last === null || !("rows" in last) || !Array.isArray(last.rows))
    return undefined;
  const row: unknown = last.rows[0];
  if (typeof row !== "object" || row === null || !("locks" in row)) return undefined;
  return typeof row.locks === "number" ? row.locks : undefined;
}
