/**
 * A bounded set of daemon connections for short questions. Waiting callers are served in order.
 *
 * An idle connection is used again only while the daemon has neither hung up nor spoken; it is dropped after some
 * idle time, and after some age even when busy all the time, because the daemon keeps the temporary roots of a
 * connection (and one process) until it is closed.
 */

import type { CancelOptions } from "../store/store.js";
import type { DaemonConnection } from "./connection.js";
import { abortError, DaemonError } from "./error.js";

/** How many connections a pool has, and for how long. */
export interface DaemonPoolOptions {
  /** Makes a connection. */
  readonly open: (signal?: AbortSignal) => Promise<DaemonConnection>;
  /** Connections at once. Default 8. */
  readonly size?: number;
  /** Milliseconds an unused connection is kept. Default 30 000. */
  readonly maxIdleMs?: number;
  /** Milliseconds after which a connection is not used again. Default 600 000. */
  readonly maxAgeMs?: number;
}

/** How a connection of a pool is used. */
export interface PoolUse extends CancelOptions {
  /** Try again on a new connection when a reused one turns out to be dead. */
  readonly repeatable?: boolean;
}

interface Waiter {
  readonly grant: () => void;
  readonly refuse: (error: Error) => void;
}

/** A bounded set of connections that are used in turn. */
export class DaemonPool {
  readonly #options: Required<DaemonPoolOptions>;
  readonly #idle: { readonly connection: DaemonConnection; readonly timer: NodeJS.Timeout }[] = [];
  readonly #busy = new Set<DaemonConnection>();
  readonly #waiters = new Set<Waiter>();
  /** Places taken: connections in use or being opened. */
  #taken = 0;
  #closed = false;

  constructor(options: DaemonPoolOptions) {
    this.#options = { size: 8, maxIdleMs: 30_000, maxAgeMs: 600_000, ...options };
  }

  /** How the pool is doing. */
  get counts(): { readonly busy: number; readonly idle: number; readonly waiting: number } {
    return { busy: this.#taken, idle: this.#idle.length, waiting: this.#waiters.size };
  }

  /** Lends a connection to `work`. */
  async use<T>(work: (connection: DaemonConnection) => Promise<T>, options: PoolUse = {}): Promise<T> {
    await this.#take(options.signal);
    try {
      const reused = this.#reuse();
      if (reused !== undefined) {
        try {
          return await this.#lend(reused, work);
        } catch (error) {
          // The daemon may have been restarted while the connection was idle.
          const dead = error instanceof DaemonError && error.code === "closed";
          if (!dead || options.repeatable !== true || this.#closed) throw error;
        }
      }
      return await this.#lend(await this.#options.open(options.signal), work);
    } finally {
      this.#give();
    }
  }

  /** As `use`, for work that yields. The place is given back when the consumer is done or breaks off. */
  async *stream<T>(
    work: (connection: DaemonConnection) => AsyncIterable<T>,
    options: CancelOptions = {},
  ): AsyncGenerator<T> {
    await this.#take(options.signal);
    try {
      const connection = this.#reuse() ?? (await this.#options.open(options.signal));
      this.#enter(connection);
      try {
        yield* work(connection);
      } finally {
        this.#leave(connection);
      }
    } finally {
      this.#give();
    }
  }

  /** Closes all connections, also those in use; those who wait are refused. */
  close(): void {
    this.#closed = true;
    for (const { connection, timer } of this.#idle.splice(0)) {
      clearTimeout(timer);
      connection.close();
    }
    for (const connection of this.#busy) connection.close();
    for (const waiter of this.#waiters) waiter.refuse(poolClosed());
    this.#waiters.clear();
  }

  async #lend<T>(
    connection: DaemonConnection,
    work: (connection: DaemonConnection) => Promise<T>,
  ): Promise<T> {
    this.#enter(connection);
    try {
      return await work(connection);
    } finally {
      this.#leave(connection);
    }
  }

  #enter(connection: DaemonConnection): void {
    if (this.#closed) {
      connection.close();
      throw poolClosed();
    }
    this.#busy.add(connection);
  }

  #leave(connection: DaemonConnection): void {
    this.#busy.delete(connection);
    const old = performance.now() - connection.openedAt > this.#options.maxAgeMs;
    if (this.#closed || old || !connection.usable) {
      connection.close();
      return;
    }
    const timer = setTimeout(() => {
      const at = this.#idle.findIndex((entry) => entry.connection === connection);
      if (at >= 0) this.#idle.splice(at, 1);
      connection.close();
    }, this.#options.maxIdleMs);
    timer.unref();
    this.#idle.push({ connection, timer });
  }

  /** The connection that was used last, so that the others can grow old and go. */
  #reuse(): DaemonConnection | undefined {
    for (let entry = this.#idle.pop(); entry !== undefined; entry = this.#idle.pop()) {
      clearTimeout(entry.timer);
      if (entry.connection.usable) return entry.connection;
      entry.connection.close();
    }
    return undefined;
  }

  async #take(signal?: AbortSignal): Promise<void> {
    if (this.#closed) throw poolClosed();
    if (signal?.aborted) throw abortError(signal);
    if (this.#taken < this.#options.size) {
      this.#taken++;
      return;
    }
    await new Promise<void>((resolve, reject) => {
      const leave = (): void => {
        this.#waiters.delete(waiter);
        signal?.removeEventListener("abort", onAbort);
      };
      const waiter: Waiter = {
        grant: () => {
          leave();
          resolve();
        },
        refuse: (error) => {
          leave();
          reject(error);
        },
      };
      const onAbort = (): void => {
        if (signal !== undefined) waiter.refuse(abortError(signal));
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#waiters.add(waiter);
    });
  }

  /** Hands the place to the one who has waited longest. */
  #give(): void {
    const [next] = this.#waiters;
    if (next === undefined) this.#taken--;
    else next.grant();
  }
}

function poolClosed(): DaemonError {
  return new DaemonError("closed", "The store has been closed");
}
