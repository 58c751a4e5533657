/**
 * Sessions of builds: one connection for a build, its inputs' roots and its outputs' roots.
 *
 * A connection is a process of the daemon's, which costs more than a small build. So connections are kept for later
 * sessions with the same settings: settings that a connection has been given cannot all be taken back. What else stays
 * with a connection, its temporary roots above all, goes after some builds or a while without any.
 */

import type { BasicDerivation } from "../derivation/derivation.js";
import { defaultStoreDir, type StorePath } from "../path/store-path.js";
import type {
  BuildResult,
  BuildSession,
  CancelOptions,
  SessionBuildOptions,
  StoreSettings,
} from "../store/store.js";
import { runBuild } from "./build.js";
import type { DaemonConnection } from "./connection.js";
import { DaemonError } from "./error.js";
import { buildDerivation, setOptions } from "./protocol/operations.js";
import { WireWriter } from "./protocol/writer.js";
import { DaemonRootsSession } from "./roots.js";

/** Sessions that one connection serves before it is replaced. */
const mostSessions = 50;
/** Milliseconds after which a connection is not used again. */
const mostAge = 600_000;
/** Connections that are kept without use. */
const mostIdle = 16;

/** `open` makes a connection with settings of its own. */
export interface SessionPoolOptions {
  readonly open: (settings: StoreSettings, signal?: AbortSignal) => Promise<DaemonConnection>;
  /** Milliseconds an unused connection is kept. */
  readonly maxIdleMs: number;
}

interface Entry {
  readonly connection: DaemonConnection;
  /** The settings as the daemon got them. */
  readonly settings: string;
  sessions: number;
  timer?: NodeJS.Timeout;
}

/** Connections for builds, kept for a while to be reused by a build with the same settings. */
export class SessionPool {
  readonly #options: SessionPoolOptions;
  readonly #busy = new Set<Entry>();
  /** Those used longest ago first. */
  readonly #idle: Entry[] = [];
  #closed = false;

  constructor(options: SessionPoolOptions) {
    this.#options = options;
  }

  async session(settings: StoreSettings, options: CancelOptions): Promise<BuildSession> {
    const key = settingsKey(settings);
    const entry: Entry = this.#reuse(key) ?? {
      connection: await this.#options.open(settings, options.signal),
      settings: key,
      sessions: 0,
    };
    if (this.#closed) {
      entry.connection.close();
      throw new DaemonError("closed", "The store has been closed");
    }
    entry.sessions++;
    this.#busy.add(entry);
    return new DaemonBuildSession(entry.connection, () => this.#give(entry));
  }

  close(): void {
    this.#closed = true;
    for (const entry of this.#busy) entry.connection.close();
    for (const entry of this.#idle.splice(0)) drop(entry);
  }

  /** The one used last, so that the others can grow old and go. */
  #reuse(key: string): Entry | undefined {
    for (let at = this.#idle.length - 1; at >= 0; at--) {
      const entry = this.#idle[at];
      if (entry === undefined || entry.settings !== key) continue;
      this.#idle.splice(at, 1);
      clearTimeout(entry.timer);
      if (entry.connection.usable) return entry;
      drop(entry);
    }
    return undefined;
  }

  #give(entry: Entry): void {
    if (!this.#busy.delete(entry)) return;
    const { connection } = entry;
    const worn = entry.sessions >= mostSessions || performance.now() - connection.openedAt > mostAge;
    if (this.#closed || worn || !connection.usable) {
      drop(entry);
      return;
    }
    entry.timer = setTimeout(() => {
      this.#idle.splice(this.#idle.indexOf(entry), 1);
      drop(entry);
    }, this.#options.maxIdleMs);
    entry.timer.unref();
    this.#idle.push(entry);
    const oldest = this.#idle.length > mostIdle ? this.#idle.shift() : undefined;
    if (oldest !== undefined) drop(oldest);
  }
}

class DaemonBuildSession extends DaemonRootsSession implements BuildSession {
  build(drvPath: StorePath, drv: BasicDerivation, options: SessionBuildOptions = {}): Promise<BuildResult> {
    const operation = buildDerivation(drvPath, drv, options.mode);
    return this.alone((connection) => runBuild(connection, operation, options));
  }
}

function drop(entry: Entry): void {
  clearTimeout(entry.timer);
  entry.connection.close();
}

function settingsKey(settings: StoreSettings): string {
  const writer = new WireWriter();
  // How they are written is the same for all stores and versions.
  setOptions(settings).write(writer, { storeDir: defaultStoreDir, minor: 0, realisationWithPath: false });
  return Buffer.from(writer.take()).toString("latin1");
}
