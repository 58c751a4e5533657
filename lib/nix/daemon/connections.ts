/**
 * Which connection an operation runs on: questions have a pool, and transfers another, because a transfer lasts as long
 * as its other end likes and no question may wait for that. Builds and root sessions get a connection of their own,
 * because settings and temporary roots belong to a connection.
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
  /** Connections for questions; transfers have three times as many. Default 8. */
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

const defaultPoolSize = 8;
/** Connections for transfers, for each one for questions. */
const transfersPerQuestion = 3;

/** All connections to one daemon. Methods reject with `DaemonError`, or with the reason of their signal. */
export class DaemonConnections {
  readonly #address: StoreAddress;
  readonly #questions: DaemonPool;
  readonly #transfers: DaemonPool;
  readonly #sessions: SessionPool;
  /** Connections of single builds and root sessions. */
  readonly #dedicated = new Set<DaemonConnection>();
  #closed = false;

  constructor(address: StoreAddress, options: DaemonConnectionsOptions) {
    const { settings, poolSize = defaultPoolSize, maxIdleMs, maxAgeMs } = options;
    this.#address = address;
    const pool = (size: number): DaemonPool =>
      new DaemonPool({
        open: (signal) => connect(address, { settings, ...cancel(signal) }),
        size,
        ...(maxIdleMs === undefined ? {} : { maxIdleMs }),
        ...(maxAgeMs === undefined ? {} : { maxAgeMs }),
      });
    this.#questions = pool(poolSize);
    this.#transfers = pool(transfersPerQuestion * poolSize);
    this.#sessions = new SessionPool({
      open: (own, signal) => connect(address, { settings: own, ...cancel(signal) }),
      maxIdleMs: maxIdleMs ?? 30_000,
    });
  }

  /** Connections in use, idle, and callers waiting for one, in both pools together. */
  get counts(): DaemonPool["counts"] {
    const [one, other] = [this.#questions.counts, this.#transfers.counts];
    return {
      busy: one.busy + other.busy,
      idle: one.idle + other.idle,
      waiting: one.waiting + other.waiting,
    };
  }

  /** Lends a connection for questions to `work`. */
  ask<T>(work: (connection: DaemonConnection) => Promise<T>, options: CancelOptions): Promise<T> {
    return this.#questions.use(work, cancel(options.signal));
  }

  /** Lends a connection for transfers to `work`. */
  transfer<T>(work: (connection: DaemonConnection) => Promise<T>, options: CancelOptions): Promise<T> {
    return this.#transfers.use(work, cancel(options.signal));
  }

  /** One operation. A repeatable one is repeated when its connection turns out to be dead. */
  run<T>(operation: Operation<T>, options: CancelOptions): Promise<T> {
    const use = { ...cancel(options.signal), repeatable: operation.repeatable };
    return this.#questions.use((connection) => connection.run(operation, options), use);
  }

  /** Several operations on one connection, sent without waiting for the answers in between. */
  async pipeline<T>(wanted: readonly Operation<T>[], options: CancelOptions): Promise<T[]> {
    if (wanted.length === 0) return [];
    const use = { ...cancel(options.signal), repeatable: wanted.every((each) => each.repeatable) };
    return this.#questions.use((connection) => connection.pipeline(wanted, options), use);
  }

  /** An operation followed by a body that comes from elsewhere. */
  upload<T>(operation: Operation<T>, body: ByteStream, options: CancelOptions): Promise<T> {
    return this.transfer((connection) => connection.upload(operation, body, options), options);
  }

  /** A download, which keeps its connection until it is read to its end or left early. */
  stream(open: (connection: DaemonConnection) => ByteStream, options: CancelOptions): ByteStream {
    return this.#transfers.stream(open, options);
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
    this.#questions.close();
    this.#transfers.close();
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
