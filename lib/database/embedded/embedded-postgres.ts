/**
 * A PostgreSQL of our own below Hydra's data folder, reachable through a Unix socket only.
 *
 * The server lives as long as the object that started it. When it dies by itself it is started again. A server that a
 * killed process left behind is stopped first; one that another live process looks after (the active runner, when we
 * are its standby) is shared, and started by us once it is gone.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { open, readFile, rm } from "node:fs/promises";
import {
  aFlag,
  aLogger,
  anAmount,
  aSignal,
  aText,
  checkMade,
  checkMembers,
  isObject,
  optional,
} from "../../argument-checks.js";
import { Backoff, pause } from "../../async/index.js";
import { type Logger, silentLogger } from "../../log.js";
import { connectionSettings } from "../connection-settings.js";
import { driver } from "../driver.js";
import { DatabaseError } from "../errors.js";
import { failureCode } from "../failure-kinds.js";
import { findPostgres, type PostgresPrograms, programEnvironment } from "./binaries.js";
import { ensureDataFolder } from "./data-folder.js";
import { chooseLauncher, giveTo, type Launcher } from "./launch.js";
import {
  type EmbeddedPlaces,
  embeddedDatabase,
  embeddedPlaces,
  preparePlaces,
  removeSocketFolder,
} from "./places.js";
import { hasLiveOwner, runningPostmaster, stopPostmaster, writeOwner } from "./postmaster.js";

/** Where the server keeps its data, and how it runs. */
export interface EmbeddedPostgresOptions {
  /** Hydra's data folder; everything is kept in `postgres/` below it. */
  readonly dataDir: string;
  readonly logger?: Logger | undefined;
  readonly signal?: AbortSignal | undefined;
  /** False gives up safety against a crash of the machine for speed; for tests. Default true. */
  readonly durable?: boolean | undefined;
  readonly maxConnections?: number | undefined;
}

const startPatienceMs = 60_000;
const sharedCheckMs = 500;

/** A running server of our own. Stop it, or it stops with the process. */
export class EmbeddedPostgres implements AsyncDisposable {
  readonly #options: EmbeddedPostgresOptions;
  readonly #logger: Logger;
  readonly #places: EmbeddedPlaces;
  readonly #programs: PostgresPrograms;
  readonly #launcher: Launcher;
  readonly #abort = new AbortController();
  #child: ChildProcess | undefined;
  #watch: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;

  private constructor(
    options: EmbeddedPostgresOptions,
    places: EmbeddedPlaces,
    programs: PostgresPrograms,
    launcher: Launcher,
  ) {
    checkMade("EmbeddedPostgres", "EmbeddedPostgres.start()", isObject(launcher));
    this.#options = options;
    this.#logger = options.logger ?? silentLogger;
    this.#places = places;
    this.#programs = programs;
    this.#launcher = launcher;
  }

  /**
   * Starts the server, making its files at first; resolves when it takes connections.
   *
   * @throws DatabaseError `embedded` when the programs are not found or the server does not start
   */
  static async start(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
    checkMembers("EmbeddedPostgres", options, {
      dataDir: aText,
      logger: optional(aLogger),
      signal: optional(aSignal),
      durable: optional(aFlag),
      maxConnections: optional(anAmount),
    });
    const places = embeddedPlaces(options.dataDir);
    const launcher = await chooseLauncher();
    await preparePlaces(places, launcher.owner?.uid);
    const programs = await findPostgres(places.links);
    const server = new EmbeddedPostgres(options, places, programs, launcher);
    try {
      await server.#up();
      await server.#createDatabase();
    } catch (error) {
      await server.stop();
      throw error;
    }
    server.#watch = server.#keepUp();
    return server;
  }

  /** Address of Hydra's database in this server. */
  get url(): string {
    return this.#places.url;
  }

  /** The server's process, when it is ours. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Stops the server if it is ours. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #stop(): Promise<void> {
    this.#abort.abort();
    await this.#watch;
    const child = this.#child;
    if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    const pid = (await runningPostmaster(this.#places)) ?? child.pid;
    await stopPostmaster(this.#places, pid);
    await exited;
    await rm(this.#places.owner, { force: true });
    await removeSocketFolder(this.#places);
  }

  /** Brings a server up that answers: ours, or that of another live process. */
  async #up(): Promise<void> {
    const deadline = performance.now() + startPatienceMs;
    for (;;) {
      this.#options.signal?.throwIfAborted();
      this.#abort.signal.throwIfAborted();
      const pid = await runningPostmaster(this.#places);
      if (pid !== undefined && (await hasLiveOwner(this.#places))) {
        if (await this.#answers()) return;
      } else if (pid !== undefined) {
        this.#logger.info("stopping the PostgreSQL that a killed process left behind", { pid });
        await stopPostmaster(this.#places, pid);
        continue;
      } else {
        // Another process that stopped its server may have removed the folder of the socket.
        await preparePlaces(this.#places, this.#launcher.owner?.uid);
        await giveTo(this.#launcher, this.#places.socketFolder);
        await ensureDataFolder(this.#places, this.#programs, this.#launcher, this.#options.durable !== false);
        if (await this.#launch(deadline)) return;
      }
      if (performance.now() > deadline) {
        throw new DatabaseError(
          "embedded",
          `the embedded PostgreSQL does not start; see ${this.#places.log}`,
          {
            cause: new Error(await this.#lastLines()),
          },
        );
      }
      await pause(100, { signal: this.#abort.signal });
    }
  }

  /** False when the server ended again, for instance because another process started one at the same moment. */
  async #launch(deadline: number): Promise<boolean> {
    const durable = this.#options.durable !== false;
    const settings = [
      "listen_addresses=",
      `unix_socket_directories=${this.#places.socketFolder}`,
      "unix_socket_permissions=0700",
      "port=5432",
      `max_connections=${this.#options.maxConnections ?? 150}`,
      "logging_collector=off",
      "timezone=UTC",
      "log_timezone=UTC",
      ...(durable ? [] : ["fsync=off", "full_page_writes=off"]),
    ];
    const command = this.#launcher.wrap(
      [this.#programs.postgres, "-D", this.#places.data, ...settings.flatMap((setting) => ["-c", setting])],
      { diesWithUs: true },
    );
    const [program = "", ...args] = command;
    const log = await open(this.#places.log, "a", 0o600);
    let child: ChildProcess;
    try {
      // A session of its own: Ctrl-C in a terminal is for us, who then still need the database to say good-bye.
      child = spawn(program, args, {
        cwd: "/",
        env: programEnvironment(this.#programs),
        detached: true,
        stdio: ["ignore", log.fd, log.fd],
      });
    } finally {
      await log.close();
    }
    const ended = new AbortController();
    child.once("exit", () => ended.abort());
    child.once("error", () => ended.abort());
    while (!ended.signal.aborted && performance.now() < deadline) {
      if ((await this.#answers()) && (await runningPostmaster(this.#places)) !== undefined) {
        if (ended.signal.aborted) return false;
        this.#own(child);
        await writeOwner(this.#places);
        return true;
      }
      await pause(20, { signal: ended.signal });
    }
    if (!ended.signal.aborted) {
      const exited = once(child, "exit");
      child.kill("SIGQUIT");
      await exited;
    }
    return false;
  }

  #own(child: ChildProcess): void {
    this.#child = child;
    // For systems without setpriv: the last thing a normal end does.
    const kill = (): void => void child.kill("SIGINT");
    process.once("exit", kill);
    child.once("exit", () => process.removeListener("exit", kill));
    // The server alone must not keep the process running.
    child.unref();
  }

  /** Restarts the server whenever it is gone. */
  async #keepUp(): Promise<void> {
    const { signal } = this.#abort;
    const backoff = new Backoff({ firstMs: 200, longestMs: 10_000 });
    while (!signal.aborted) {
      await this.#untilGone(signal);
      if (signal.aborted) return;
      this.#logger.warn("the embedded PostgreSQL has exited; starting it again");
      this.#child = undefined;
      try {
        await this.#up();
        backoff.reset();
      } catch (error) {
        if (signal.aborted) return;
        this.#logger.error("the embedded PostgreSQL does not start", { error });
        await backoff.wait(signal).catch(() => {});
      }
    }
  }

  async #untilGone(signal: AbortSignal): Promise<void> {
    const child = this.#child;
    if (child === undefined) {
      while (!signal.aborted && (await runningPostmaster(this.#places)) !== undefined) {
        await pause(sharedCheckMs, { signal, ref: false });
      }
      return;
    }
    if (child.exitCode !== null || child.signalCode !== null) return;
    await once(child, "exit", { signal }).catch(() => {});
  }

  async #answers(): Promise<boolean> {
    try {
      await this.#ask("SELECT 1");
      return true;
    } catch {
      return false;
    }
  }

  async #createDatabase(): Promise<void> {
    try {
      await this.#ask(`CREATE DATABASE ${embeddedDatabase}`);
    } catch (error) {
      // 42P04: there already; 23505: another process made it at the same moment.
      if (!["42P04", "23505"].includes(failureCode(error) ?? "")) throw error;
    }
  }

  async #ask(statement: string): Promise<void> {
    const { Client } = driver();
    const client = new Client({
      ...connectionSettings(this.#places.url).config,
      database: "postgres",
      connectionTimeoutMillis: 5_000,
    });
    client.on("error", () => {});
    try {
      await client.connect();
      await client.query(statement);
    } finally {
      void client.end().catch(() => {});
    }
  }

  async #lastLines(): Promise<string> {
    const text = await readFile(this.#places.log, "utf8").catch(() => "");
    return text.trimEnd().split("\n").slice(-3).join("; ");
  }
}
