/**
 * Who owns the database: one runner at a time, by advisory locks of PostgreSQL. Nothing is stored.
 *
 * Three locks. The *owner lock* is held by one connection kept for it; when that connection dies, so does the
 * ownership. The *token*, a random key held by the same connection, tells our session from any other. The *gate* keeps
 * a former owner from committing: each writing transaction holds it shared and then looks whether the owner lock still
 * is ours; a new owner closes it for a moment, which waits for every transaction that passed before.
 *
 * A broken or silent connection alone does not end the ownership. Writing stops, a new connection is made, and the lock
 * is lost only when another runner is found to hold it by then, or when the database stayed away for the whole grace.
 */

import { randomInt } from "node:crypto";
import { hostname } from "node:os";
import type { Client } from "pg";
import { aFunction, aLogger, anAmount, checkMembers, having, optional } from "../../argument-checks.js";
import { atMost, Backoff, pause, Silence, sleep, withSignal } from "../../async/index.js";
import { type Logger, silentLogger } from "../../log.js";
import { DatabaseError } from "../errors.js";
import { failureKind } from "../failure-kinds.js";
import type { HydraDatabase } from "../hydra-database.js";
import type { Fence, FenceEntry } from "../transaction.js";
import {
  closeGate,
  endFormerSessions,
  gateStatements,
  type LockOwner,
  lockToken,
  ownerOf,
  passedGate,
  sessionName,
  shortenTimeouts,
  tryLock,
} from "./owner-lock-statements.js";

export type { LockOwner } from "./owner-lock-statements.js";

/** The database to own, and how often its lock is checked. */
export interface OwnerLockOptions {
  readonly database: Pick<HydraDatabase, "connect">;
  readonly logger?: Logger | undefined;
  /** Pause between two looks at a lock that another runner holds; default 1 s. */
  readonly pollIntervalMs?: number | undefined;
  /** Pause between two checks that the connection is alive; default 2 s. */
  readonly checkIntervalMs?: number | undefined;
  /**
   * How long the owner waits for a database that does not answer before it gives the lock up, in milliseconds; read
   * when an outage begins. Default 600 s.
   */
  readonly graceMs?: (() => number) | undefined;
}

const defaultGraceMs = 600_000;
/** An answer that takes longer counts as silence: writing and dispatching pause. */
const tolerateMs = 1_500;

/** A standby leaves an owner whose connection broke this long to come back. */
const courtesyMs = 2_000;
/** How long to wait for a good-bye. */
const partingMs = 2_000;
/** How long to look for the lock after a reconnection before it counts as another owner's. */
const reclaimTries = 5;

interface Ownership {
  readonly client: Client;
  readonly pid: number;
}

/** The ownership of one database. Give it to `HydraDatabase.fence` so that only the owner writes. */
export class OwnerLock implements Fence, AsyncDisposable {
  readonly #database: Pick<HydraDatabase, "connect">;
  readonly #logger: Logger;
  readonly #pollIntervalMs: number;
  readonly #checkIntervalMs: number;
  readonly #token = randomInt(1, 2 ** 31 - 1);
  readonly #lost = new AbortController();
  readonly #released = new AbortController();
  readonly #graceMs: () => number;
  readonly #silence = new Silence(tolerateMs);
  #ownership: Ownership | undefined;
  #standby: Client | undefined;
  #guard: Promise<void> | undefined;
  #owner = false;
  /** Another runner had the lock when we looked. */
  #seenTaken = false;
  #otherOwner: LockOwner | undefined;

  constructor(options: OwnerLockOptions) {
    checkMembers("OwnerLock", options, {
      database: having("a HydraDatabase", ["connect"]),
      logger: optional(aLogger),
      pollIntervalMs: optional(anAmount),
      checkIntervalMs: optional(anAmount),
      graceMs: optional(aFunction),
    });
    this.#database = options.database;
    this.#logger = options.logger ?? silentLogger;
    this.#pollIntervalMs = options.pollIntervalMs ?? 1_000;
    this.#checkIntervalMs = options.checkIntervalMs ?? 2_000;
    this.#graceMs = options.graceMs ?? (() => defaultGraceMs);
  }

  /** Aborted when another runner owns the database although we did. Never for `release()`. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /** Owned, and the connection that proves it works. */
  get isHeld(): boolean {
    return this.#ownership !== undefined;
  }

  /** Who had the lock when `acquire` last looked; undefined once it is ours, and while no session has it. */
  get otherOwner(): LockOwner | undefined {
    return this.#owner ? undefined : this.#otherOwner;
  }

  /** Milliseconds since the epoch from which on the database has not answered its owner; undefined while it does. */
  get silentSince(): number | undefined {
    return this.#silence.since;
  }

  /** `listener` is called whenever the database answers, and the lock is held, after a silence. */
  onAnswering(listener: () => void): void {
    this.#silence.onEnd(listener);
  }

  /** Takes the lock if it is free. */
  async tryAcquire(): Promise<boolean> {
    this.#checkUsable();
    if (this.#owner) return true;
    const client = this.#standby ?? (await this.#connect());
    this.#standby = client;
    try {
      if (!(await lockToken(client, this.#token)) || !(await tryLock(client, this.#token))) {
        this.#seenTaken = true;
        return false;
      }
      await closeGate(client);
      await this.#own(client);
      return true;
    } catch (error) {
      this.#standby = undefined;
      discard(client);
      throw error;
    }
  }

  /** Waits until the lock is ours. Rejects with the signal's reason when that is aborted, or after `release()`. */
  async acquire(signal?: AbortSignal): Promise<void> {
    const over = AbortSignal.any([this.#released.signal, ...(signal === undefined ? [] : [signal])]);
    const backoff = new Backoff({ firstMs: 200, longestMs: 2_000 });
    let freeSince: number | undefined;
    while (!this.#owner) {
      over.throwIfAborted();
      try {
        const client = this.#standby ?? (await this.#connect());
        this.#standby = client;
        this.#otherOwner = await ownerOf(client);
        if (this.#otherOwner === undefined) {
          // Seen in other hands before: the owner may only have lost its connection for a moment.
          freeSince ??= performance.now();
          if (!this.#seenTaken || performance.now() - freeSince >= courtesyMs) {
            if (await this.tryAcquire()) return;
          }
        } else {
          this.#seenTaken = true;
          freeSince = undefined;
        }
        backoff.reset();
      } catch (error) {
        over.throwIfAborted();
        const kind = failureKind(error);
        if (kind !== "lost" && kind !== "conflict") throw error;
        if (this.#standby !== undefined) discard(this.#standby);
        this.#standby = undefined;
        // The database went away, and with it every lock: its owner is given time to return, too.
        this.#seenTaken = true;
        freeSince = undefined;
        await backoff.wait(over);
        continue;
      }
      await sleep(this.#pollIntervalMs, { signal: over });
    }
  }

  /**
   * For the start of a writing transaction: statements that keep a new owner waiting until the transaction is over, and
   * `verify`, which takes their answers and fails unless the lock is ours.
   *
   * @throws DatabaseError `fenced` when the lock is lost or was released, `unavailable` while it is being reclaimed
   */
  enter(): FenceEntry {
    this.#checkOwned();
    if (!this.#owner) throw new DatabaseError("fenced", "this runner does not own the database");
    const ownership = this.#ownership;
    if (ownership === undefined) {
      throw new DatabaseError("unavailable", "the connection that holds the owner lock is being restored");
    }
    return {
      statements: gateStatements(ownership.pid, this.#token),
      verify: (results) => {
        // Whether it is lost for good is found out by the guard; until then nothing is written.
        if (!passedGate(results))
          throw new DatabaseError("unavailable", "the owner lock is not held by our connection");
      },
    };
  }

  /** Gives the lock up. The object cannot be used again. */
  async release(): Promise<void> {
    this.#released.abort(new DatabaseError("closed", "the owner lock was released"));
    this.#owner = false;
    await this.#guard;
    const clients = [this.#standby, this.#ownership?.client];
    this.#standby = undefined;
    this.#ownership = undefined;
    await Promise.all(
      clients.map(async (client) => {
        // Ending the session gives its locks up; a dead one has none.
        if (client !== undefined)
          await atMost(
            client.end().catch(() => {}),
            partingMs,
          );
      }),
    );
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.release();
  }

  #checkUsable(): void {
    this.#released.signal.throwIfAborted();
    this.#checkOwned();
  }

  #checkOwned(): void {
    if (!this.#lost.signal.aborted) return;
    throw new DatabaseError("fenced", "the owner lock of the database is lost", {
      cause: this.#lost.signal.reason,
    });
  }

  async #connect(): Promise<Client> {
    const client = await this.#database.connect(sessionName(hostname()));
    try {
      await shortenTimeouts(client);
      return client;
    } catch (error) {
      discard(client);
      throw error;
    }
  }

  async #own(client: Client): Promise<void> {
    const { rows } = await client.query<{ pid: number }>("SELECT pg_backend_pid() AS pid");
    const pid = rows[0]?.pid;
    if (pid === undefined)
      throw new DatabaseError("unavailable", "the server did not return our backend process id");
    this.#released.signal.throwIfAborted();
    this.#standby = undefined;
    this.#ownership = { client, pid };
    this.#owner = true;
    this.#guard ??= this.#watch();
  }

  /** Keeps the ownership: asks the connection whether it lives, restores it when not. */
  async #watch(): Promise<void> {
    const { signal } = this.#released;
    while (!signal.aborted) {
      const ownership = this.#ownership;
      if (ownership === undefined) return;
      if (await this.#alive(ownership, signal)) continue;
      if (signal.aborted) return;
      this.#ownership = undefined;
      this.#silence.began();
      discard(ownership.client);
      this.#logger.warn(
        "the connection that holds the owner lock broke; nothing is written until it is back",
      );
      const loss = await this.#restore(signal);
      if (signal.aborted) return;
      if (loss !== undefined) {
        this.#owner = false;
        this.#lost.abort(loss);
        return;
      }
      this.#logger.info("the owner lock is held again");
      this.#silence.ended();
    }
  }

  /** Returns false as soon as the connection is known to be dead, true after each good answer. */
  async #alive({ client }: Ownership, signal: AbortSignal): Promise<boolean> {
    const ended = new AbortController();
    const end = (): void => ended.abort();
    client.once("end", end);
    try {
      await pause(this.#checkIntervalMs, { signal: AbortSignal.any([signal, ended.signal]) });
      if (signal.aborted || ended.signal.aborted) return false;
      await withSignal(
        this.#silence.ask(() => client.query("SELECT 1")),
        signal,
      );
      return true;
    } catch {
      return false;
    } finally {
      client.removeListener("end", end);
    }
  }

  /** Resolves when the lock is held again, or with the reason why it is lost. */
  async #restore(signal: AbortSignal): Promise<DatabaseError | undefined> {
    const graceMs = this.#graceMs();
    const over = new AbortController();
    const restored = new AbortController();
    const began = this.#silence.since ?? Date.now();
    void pause(began + graceMs - Date.now(), { signal: restored.signal, ref: false }).then(() => {
      over.abort(
        new DatabaseError(
          "unavailable",
          `the database did not answer for ${Math.round(graceMs / 1000)} s (databaseGraceInS)`,
        ),
      );
    });
    try {
      if (await this.#reclaim(AbortSignal.any([signal, over.signal]))) return undefined;
      return new DatabaseError("fenced", "another runner owns the database");
    } catch (error) {
      return error instanceof DatabaseError
        ? error
        : new DatabaseError("fenced", "the owner lock is gone", { cause: error });
    } finally {
      restored.abort();
    }
  }

  /**
   * False when another runner has the lock by now. Goes on for as long as the database cannot be reached or refuses us:
   * one that is restored from a backup does so for a while.
   *
   * @throws the reason of `signal`
   */
  async #reclaim(signal: AbortSignal): Promise<boolean> {
    const backoff = new Backoff({ firstMs: 100, longestMs: 1_000 });
    for (let refusals = 0; ; ) {
      signal.throwIfAborted();
      const connecting = this.#connect();
      try {
        const client = await withSignal(connecting, signal);
        const result = await withSignal(this.#lockOn(client), signal);
        if (result === "held") return true;
        discard(client);
        if (result === "taken" && ++refusals >= reclaimTries) return false;
      } catch (error) {
        connecting.then(discard, () => undefined);
        signal.throwIfAborted();
        this.#logger.debug("the owner lock cannot be reclaimed yet", { error });
      }
      await backoff.wait(signal);
    }
  }

  /**
   * `ours`: a session of our own that broke has it until the server notices, and was ended; `taken`: another runner's
   * has it.
   */
  async #lockOn(client: Client): Promise<"held" | "ours" | "taken"> {
    await endFormerSessions(client, this.#token);
    if (!(await lockToken(client, this.#token))) return "ours";
    if (!(await tryLock(client, this.#token))) return "taken";
    await closeGate(client);
    await this.#own(client);
    return "held";
  }
}

/** Ends a connection that may be dead, without waiting for it. */
function discard(client: Client): void {
  void client.end().catch(() => {});
}
