/**
 * Who owns the database: one runner at a time, by advisory locks of PostgreSQL. Nothing is stored.
 *
 * Three locks. The *owner lock* is held by one connection kept for it; when that connection dies, so does the
 * ownership. The *token*, a random key held by the same connection, tells our session from any other. The *gate* keeps
 * a former owner from committing: each writing transaction holds it shared and then looks whether the owner lock still
 * is ours; a new owner closes it for a moment, which waits for every transaction that passed before.
 *
 * A broken connection alone does not end the ownership. Writing stops, a new connection is made, and only when another
 * runner is found to hold the lock by then is it lost.
 */

import { randomInt } from "node:crypto";
import type { Client } from "pg";
import { atMost, Backoff, pause, sleep } from "../async/index.js";
import { toError } from "../errors.js";
import { type Logger, silentLogger } from "../log.js";
import { DatabaseError } from "./errors.js";
import { failureKind } from "./failure-kinds.js";
import type { HydraDatabase } from "./hydra-database.js";
import {
  closeGate,
  endFormerSession,
  gateStatements,
  isFree,
  passedGate,
  shortenTimeouts,
  tryLock,
} from "./owner-lock-statements.js";
import type { Fence, FenceEntry } from "./transaction.js";

/** The database to own, and how often its lock is checked. */
export interface OwnerLockOptions {
  readonly database: Pick<HydraDatabase, "connect">;
  readonly logger?: Logger | undefined;
  /** Pause between two looks at a lock that another runner holds; default 1 s. */
  readonly pollIntervalMs?: number | undefined;
  /** Pause between two checks that the connection is alive; default 2 s. */
  readonly checkIntervalMs?: number | undefined;
}

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
  #ownership: Ownership | undefined;
  #standby: Client | undefined;
  #guard: Promise<void> | undefined;
  #owner = false;
  /** Another runner had the lock when we looked. */
  #seenTaken = false;

  constructor(options: OwnerLockOptions) {
    this.#database = options.database;
    this.#logger = options.logger ?? silentLogger;
    this.#pollIntervalMs = options.pollIntervalMs ?? 1_000;
    this.#checkIntervalMs = options.checkIntervalMs ?? 2_000;
  }

  /** Aborted when another runner owns the database although we did. Never for `release()`. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /** Owned, and the connection that proves it works. */
  get isHeld(): boolean {
    return this.#ownership !== undefined;
  }

  /** Takes the lock if it is free. */
  async tryAcquire(): Promise<boolean> {
    this.#checkUsable();
    if (this.#owner) return true;
    const client = this.#standby ?? (await this.#connect());
    this.#standby = client;
    try {
      if (!(await tryLock(client, this.#token))) {
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
        if (await isFree(client)) {
          // Seen in other hands before: the owner may only have lost its connection for a moment.
          freeSince ??= Date.now();
          if (!this.#seenTaken || Date.now() - freeSince >= courtesyMs) {
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
    if (this.#lost.signal.aborted) throw new DatabaseError("fenced", "another runner owns the database");
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
    if (this.#lost.signal.aborted) throw new DatabaseError("fenced", "another runner owns the database");
  }

  async #connect(): Promise<Client> {
    const client = await this.#database.connect("owner");
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
    if (pid === undefined) throw new DatabaseError("unavailable", "the server does not say who we are");
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
      discard(ownership.client);
      this.#logger.warn(
        "the connection that holds the owner lock broke; nothing is written until it is back",
      );
      try {
        if (!(await this.#reclaim(ownership.pid, signal))) {
          this.#owner = false;
          this.#lost.abort(new DatabaseError("fenced", "another runner owns the database"));
          return;
        }
        this.#logger.info("the owner lock is held again");
      } catch (error) {
        if (signal.aborted) return;
        this.#owner = false;
        this.#logger.error("the owner lock cannot be restored", { error });
        this.#lost.abort(new DatabaseError("fenced", "the owner lock is gone", { cause: error }));
        return;
      }
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
      await client.query("SELECT 1");
      return true;
    } catch {
      return false;
    } finally {
      client.removeListener("end", end);
    }
  }

  /** False when another runner has the lock by now. Goes on for as long as the database cannot be reached. */
  async #reclaim(formerPid: number, signal: AbortSignal): Promise<boolean> {
    const backoff = new Backoff({ firstMs: 100, longestMs: 2_000 });
    for (let refusals = 0; ; ) {
      signal.throwIfAborted();
      let client: Client | undefined;
      try {
        client = await this.#connect();
        await endFormerSession(client, formerPid, this.#token);
        if (await tryLock(client, this.#token)) {
          await closeGate(client);
          await this.#own(client);
          return true;
        }
        refusals++;
        discard(client);
        if (refusals >= reclaimTries) return false;
      } catch (error) {
        if (client !== undefined) discard(client);
        signal.throwIfAborted();
        if (failureKind(error) === "other") throw toError(error);
      }
      await backoff.wait(signal);
    }
  }
}

/** Ends a connection that may be dead, without waiting for it. */
function discard(client: Client): void {
  void client.end().catch(() => {});
}
