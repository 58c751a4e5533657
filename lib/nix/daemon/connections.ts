/**
 * Which connection an operation runs on: questions and transfers share a pool, builds and root sessions get one of
 * their own, because settings and temporary roots belong to a connection.
 */
import type { BuildSession, ByteStream, CancelOptions, StoreSettings } from "../store/store.js";
import type { DaemonConnection } from "./connection.js";
import { DaemonError } from "./error.js";
import { DaemonPool } from "./pool.js";
import type { Operation } from "./protocol/operations.js";
import { SessionPool } from "./sessions.js";
import type { StoreAddress } from "./store-uri.js";

/** How connections to one daemon are kept. */
export interface DaemonConnectionsOptions {
  /** Connections in the pool. Default 8. */
  readonly poolSize?: number | undefined;
  /** Milliseconds an unused connection is kept. Default 30 000. */
  readonly maxIdleMs?: number | undefined;
  /** Milliseconds after which a pooled connection is replaced. Default 600 000. */
  readonly maxAgeMs?: number | undefined;
  /** Sent on each pooled connection. */
  readonly settings?: StoreSettings | undefined;
}

/** A connection that belongs to one caller until it is released. */
export interface DedicatedConnection {
  readonly connection: DaemonConnection;
  readonly release: () => void;
}

/** All connections to one daemon. Methods reject with `DaemonError`, or with the reason of their signal. */
export class DaemonConnections {
  readonly #address: StoreAddress;
  readonly #pool: DaemonPool;
  readonly #sessions: SessionPool;
  /** Connections of single builds and root sessions. */
  readonly #dedicated = new Set<DaemonConnection>();
  #closed = false;

  constructor(address: StoreAddress, options: DaemonConnectionsOptions) {
    const { settings, poolSize, maxIdleMs, maxAgeMs } = options;
    this.#address = address;
    this.#pool = new DaemonPool({
      open: (signal) => connect(address, { settings, ...cancel(signal) }),
      ...(poolSize === undefined ? {} : { size: poolSize }),
      ...(maxIdleMs === undefined ? {} : { maxIdleMs }),
      ...(maxAgeMs === undefined ? {} : { maxAgeMs }),
    });
    this.#sessions = new SessionPool({
      open: (own, signal) => connect(address, { settings: own, ...cancel(signal) }),
      maxIdleMs: maxIdleMs ?? 30_000,
    });
  }

  /** Connections in use, idle, and callers waiting for one, in the pool. */
  get counts(): DaemonPool["counts"] {
    return this.#pool.counts;
  }

  /** Lends a pooled connection to `work`. */
  use<T>(work: (connection: DaemonConnection) => Promise<T>, options: CancelOptions): Promise<T> {
    return this.#pool.use(work, cancel(options.signal));
  }

  /** One operation. A repeatable one is repeated when its connection turns out to be dead. */
  run<T>(operation: Operation<T>, options: CancelOptions): Promise<T> {
    const use = { ...cancel(options.signal), repeatable: operation.repeatable };
    return this.#pool.use((connection) => connection.run(operation, options), use);
  }

  /** Several operations on one connection, sent without waiting for the answers in between. */
  async pipeline<T>(wanted: readonly Operation<T>[], options: CancelOptions): Promise<T[]> {
    if (wanted.length === 0) return [];
    const use = { ...cancel(options.signal), repeatable: wanted.every((each) => each.repeatable) };
    return this.#pool.use((connection) => connection.pipeline(wanted, options), use);
  }

  /** An operation followed by a body. */
  upload<T>(operation: Operation<T>, body: ByteStream, options: CancelOptions): Promise<T> {
    return this.use((connection) => connection.upload(operation, body, options), options);
  }

  /** A download, which keeps its connection until it is read to its end or left early. */
  stream(open: (connection: DaemonConnection) => ByteStream, options: CancelOptions): ByteStream {
    return this.#pool.stream(open, options);
  }

  /** A connection for builds with these settings. */
  session(settings: StoreSettings, options: CancelOptions): Promise<BuildSession> {
    return this.#sessions.session(settings, options);
  }

  /** A connection for one caller, with its own settings. */
  async dedicate(settings: StoreSettings | undefined, options: CancelOptions): Promise<DedicatedConnection> {
    const connection = await connect(this.#address, { settings, ...cancel(options.signal) });
    if (this.#closed) {
      connection.close();
      throw new DaemonError("closed", "The store has been closed");
    }
    this.#dedicated.add(connection);
    const release = (): void => {
      connection.close();
      this.#dedicated.delete(connection);
    };
    return { connection, release };
  }

  /** Lends a connection of its own to `work`. */
  async withDedicated<T>(
    settings: StoreSettings | undefined,
    options: CancelOptions,
    work: (connection: DaemonConnection) => Promise<T>,
  ): Promise<T> {
    const { connection, release } = await this.dedicate(settings, options);
    try {
      return await work(connection);
    } finally {
      release();
    }
  }

  /** Closes every connection; what is under way rejects. */
  close(): void {
    this.#closed = true;
    this.#pool.close();
    this.#sessions.close();
    for (const connection of this.#dedicated) connection.close();
    this.#dedicated.clear();
  }
}

/** The first connection loads the code of all. */
async function connect(...args: Parameters<typeof DaemonConnection.open>): Promise<DaemonConnection> {
  const { DaemonConnection: loaded } = await import("./connection.js");
  return loaded.open(...args);
}

/** Only the signal, and no member at all without one. */
export function cancel(signal: AbortSignal | undefined): CancelOptions {
  return signal === undefined ? {} : { signal };
}
