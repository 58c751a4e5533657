/**
 * Listens to what Hydra's other programs announce about the queue.
 *
 * A notification that is sent while no connection listens is lost. So after each (re)connection, once all channels are
 * subscribed, `onResync` asks for a look at everything; a listener cannot miss anything for longer than an outage.
 */
import { aLogger, anAmount, checkMembers, having, optional } from "../argument-checks.js";
import { Backoff, pause } from "../async/index.js";
import { type Logger, silentLogger } from "../log.js";
import { DatabaseError } from "./errors.js";
import type { HydraDatabase } from "./hydra-database.js";

/** The notifications that change what there is to build. */
export const queueChannels = [
  "builds_added",
  "builds_restarted",
  "builds_cancelled",
  "builds_deleted",
  "builds_bumped",
  "jobset_shares_changed",
] as const;

/** One of {@link queueChannels}. */
export type QueueChannel = (typeof queueChannels)[number];

/** Which database to listen to, and what to do with its notifications. */
export interface ListenerOptions {
  readonly database: Pick<HydraDatabase, "connect">;
  readonly logger?: Logger | undefined;
  /** Pause between two checks that the connection is alive; default 10 s. */
  readonly checkIntervalMs?: number | undefined;
}

const known: ReadonlySet<string> = new Set(queueChannels);

/** Listens on a connection of its own, which is restored when it breaks. */
export class Listener implements AsyncDisposable {
  readonly #database: Pick<HydraDatabase, "connect">;
  readonly #logger: Logger;
  readonly #checkIntervalMs: number;
  readonly #abort = new AbortController();
  readonly #onChange: ((channels: ReadonlySet<QueueChannel>) => void)[] = [];
  readonly #onResync: (() => void)[] = [];
  #heard = new Set<QueueChannel>();
  #connected = false;
  #loop: Promise<void> | undefined;

  constructor(options: ListenerOptions) {
    checkMembers("Listener", options, {
      database: having("a HydraDatabase", ["connect"]),
      logger: optional(aLogger),
      checkIntervalMs: optional(anAmount),
    });
    this.#database = options.database;
    this.#logger = options.logger ?? silentLogger;
    this.#checkIntervalMs = options.checkIntervalMs ?? 10_000;
  }

  /** Subscribed to all channels right now. */
  get connected(): boolean {
    return this.#connected;
  }

  /** `callback` gets the channels of all notifications that came in together, each once. */
  onChange(callback: (channels: ReadonlySet<QueueChannel>) => void): void {
    this.#onChange.push(callback);
  }

  /** `callback` is called after each subscription, the first one included: anything may have changed before. */
  onResync(callback: () => void): void {
    this.#onResync.push(callback);
  }

  /** Begins to connect and goes on until `close()`. */
  start(): void {
    if (this.#abort.signal.aborted) throw new DatabaseError("closed", "the listener was closed");
    this.#loop ??= this.#run();
  }

  /** Stops listening and closes the connection. */
  async close(): Promise<void> {
    this.#abort.abort();
    await this.#loop;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #run(): Promise<void> {
    const { signal } = this.#abort;
    const backoff = new Backoff({ firstMs: 100, longestMs: 10_000 });
    let down = false;
    while (!signal.aborted) {
      try {
        await this.#listen(() => {
          backoff.reset();
          if (down) this.#logger.info("listening to the database again");
          down = false;
        });
      } catch (error) {
        if (signal.aborted) return;
        if (!down) this.#logger.warn("not listening to the database; trying again", { error });
        down = true;
        await backoff.wait(signal).catch(() => {});
      }
    }
  }

  /** One connection, from its subscription to its end. Resolves only when the listener is closed. */
  async #listen(onSubscribed: () => void): Promise<void> {
    const { signal } = this.#abort;
    const client = await this.#database.connect("listener");
    const over = new AbortController();
    const stop = (): void => over.abort();
    client.on("error", stop);
    client.on("end", stop);
    client.on("notification", ({ channel }) => this.#hear(channel));
    signal.addEventListener("abort", stop, { once: true });
    try {
      if (signal.aborted) return;
      await client.query(queueChannels.map((channel) => `LISTEN ${channel}`).join("; "));
      this.#connected = true;
      onSubscribed();
      for (const callback of this.#onResync) callback();
      for (;;) {
        await pause(this.#checkIntervalMs, { signal: over.signal });
        if (signal.aborted) return;
        if (over.signal.aborted) throw new DatabaseError("unavailable", "the connection ended");
        await client.query("SELECT 1");
      }
    } finally {
      this.#connected = false;
      signal.removeEventListener("abort", stop);
      // Nothing is lost by not waiting: the connection has no work under way.
      void client.end().catch(() => {});
    }
  }

  /** Notifications that arrive in one go become one call. */
  #hear(channel: string): void {
    if (!known.has(channel)) return;
    this.#heard.add(channel as QueueChannel);
    if (this.#heard.size > 1) return;
    setImmediate(() => {
      const heard = this.#heard;
      this.#heard = new Set();
      if (this.#abort.signal.aborted || heard.size === 0) return;
      for (const callback of this.#onChange) callback(heard);
    });
  }
}
