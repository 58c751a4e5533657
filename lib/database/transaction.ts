/**
 * Running a transaction until it is through.
 *
 * Collisions with other writers (the evaluator rewrites many builds at once) and connections that break are part of
 * life; the whole of `work` is then repeated on another connection. Only a connection that breaks during COMMIT leaves
 * open what happened, so that is repeated for idempotent work alone.
 */

import type { Pool, PoolClient } from "pg";
import { Backoff } from "../async/index.js";
import { DatabaseError } from "./errors.js";
import { failureKind } from "./failure-kinds.js";
import type { PreparedStatements } from "./prepared.js";
import { type Transaction, transactionOn } from "./session.js";

/** How long and how often a transaction is repeated. */
export interface TransactionOptions {
  /** Ends the repetitions; a statement that runs is not interrupted. */
  readonly signal?: AbortSignal | undefined;
  /** `work` may be committed twice without harm. Default: yes for none of it. */
  readonly idempotent?: boolean | undefined;
  /** How long to go on while the database cannot be reached; default 60 s. */
  readonly patienceMs?: number | undefined;
}

/** Says whether we (still) may write. */
export interface Fence {
  /** @throws DatabaseError `fenced` (for good) or `unavailable` (later perhaps) */
  enter(): FenceEntry;
}

/** What a writing transaction begins with. */
export interface FenceEntry {
  /** Sent in one message with BEGIN, since a round trip for every transaction adds up. */
  readonly statements: string;
  /** Takes the answers to that message. @throws as `enter` */
  verify(results: unknown): void;
}

/** The database that a transaction runs on. */
export interface TransactionContext {
  readonly pool: Pool;
  readonly prepared: PreparedStatements;
  readonly fence: () => Fence | undefined;
  readonly onRetry: (error: unknown) => void;
  /** Aborts when the database is closed, which ends the pauses between repetitions. */
  readonly closed: AbortSignal;
}

const conflictTries = 10;
const defaultPatienceMs = 60_000;
/** Times a blocked statement, and a connection that we forgot, may hold others up. */
const begin =
  "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = '30s'; SET LOCAL statement_timeout = '120s';" +
  " SET LOCAL idle_in_transaction_session_timeout = '120s'";

type Outcome<T> =
  | { readonly kind: "done"; readonly value: T }
  | { readonly kind: "failed"; readonly error: unknown; readonly during: "connect" | "work" | "commit" };

/**
 * @throws DatabaseError `conflict`, `unavailable`, `unknown-outcome`, `fenced`; whatever else `work` throws
 */
export async function runTransaction<T>(
  context: TransactionContext,
  work: (transaction: Transaction) => Promise<T>,
  options: TransactionOptions = {},
): Promise<T> {
  const { signal } = options;
  const over = (): AbortSignal =>
    signal === undefined ? context.closed : AbortSignal.any([signal, context.closed]);
  const deadline = performance.now() + (options.patienceMs ?? defaultPatienceMs);
  const conflicts = new Backoff({ firstMs: 50, longestMs: 500 });
  const absences = new Backoff({ firstMs: 100, longestMs: 5_000 });
  for (let tries = 1; ; tries++) {
    signal?.throwIfAborted();
    const outcome = await attempt(context, work);
    if (outcome.kind === "done") return outcome.value;
    const { error, during } = outcome;
    if (error instanceof DatabaseError && error.code !== "unavailable") throw error;
    const kind = error instanceof DatabaseError ? "lost" : failureKind(error);
    if (kind === "conflict") {
      if (tries >= conflictTries) {
        throw new DatabaseError("conflict", `a transaction conflicted with others ${tries} times`, {
          cause: error,
        });
      }
      context.onRetry(error);
      await conflicts.wait(over());
    } else if (kind === "lost") {
      if (during === "commit" && options.idempotent !== true) {
        throw new DatabaseError("unknown-outcome", "the connection broke while a transaction was committed", {
          cause: error,
        });
      }
      if (performance.now() >= deadline) {
        throw new DatabaseError("unavailable", "the database cannot be reached", { cause: error });
      }
      context.onRetry(error);
      await absences.wait(over());
    } else throw error;
  }
}

async function attempt<T>(
  context: TransactionContext,
  work: (transaction: Transaction) => Promise<T>,
): Promise<Outcome<T>> {
  let during: "connect" | "work" | "commit" = "connect";
  let client: PoolClient;
  try {
    client = await context.pool.connect();
  } catch (error) {
    return { kind: "failed", error, during };
  }
  // A connection that breaks between two statements says so by this event alone; the next statement then fails.
  const ignore = (): void => {};
  client.on("error", ignore);
  let broken = false;
  try {
    during = "work";
    using session = transactionOn(client, context.prepared);
    const value = await begunWith(client, context.fence()?.enter(), async () => work(session));
    during = "commit";
    const { command } = await client.query("COMMIT");
    // The server answers COMMIT of a failed transaction with a silent ROLLBACK.
    if (command !== "COMMIT") {
      throw new DatabaseError("conflict", "a transaction continued after an error and was rolled back");
    }
    return { kind: "done", value };
  } catch (error) {
    broken = during === "commit" || failureKind(error) === "lost" || !(await rolledBack(client));
    return { kind: "failed", error, during };
  } finally {
    client.removeListener("error", ignore);
    client.release(broken);
  }
}

/**
 * Begins a transaction and does `work` in it, whose first statements leave without waiting for the answer to BEGIN. What a
 * fence forbids is rolled back with them.
 */
async function begunWith<T>(
  client: PoolClient,
  entry: FenceEntry | undefined,
  work: () => Promise<T>,
): Promise<T> {
  const begun = client
    .query(entry === undefined ? begin : `${begin}; ${entry.statements}`)
    .then((results: unknown) => entry?.verify(results));
  // Both, whatever becomes of one: nothing may be sent on a connection that was given back. A transaction that did not
  // begin fails all its statements; why is what BEGIN says.
  const [beginning, worked] = await Promise.allSettled([begun, work()]);
  if (beginning.status === "rejected") throw beginning.reason;
  if (worked.status === "rejected") throw worked.reason;
  return worked.value;
}

async function rolledBack(client: PoolClient): Promise<boolean> {
  try {
    await client.query("ROLLBACK");
    return true;
  } catch {
    return false;
  }
}
