/**
 * The queue runner: its life from the first connection to the last commit.
 *
 * States and what moves between them:
 *
 *     starting ─▶ standby ─▶ active ─▶ draining ─▶ stopping
 *
 * `standby` lasts as long as another runner owns the database; status requests are answered, builders are sent away.
 * `active` begins with the owner lock, after the rows of a dead predecessor were tidied up. `draining` assigns nothing any
 * more and waits for what runs. A runner that loses the lock stops writing at once and is over.
 */

import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { atMost, Backoff, sleep } from "../async/index.js";
import type { QueueRunnerConfig } from "../config/types.js";
import { failureKind } from "../database/failure-kinds.js";
import type { HydraDatabase } from "../database/hydra-database.js";
import { Listener } from "../database/listener.js";
import { prepareHydraDatabase, type UnconnectedDatabase } from "../database/open-hydra-database.js";
import { OwnerLock } from "../database/owner-lock.js";
import { isShortage } from "../errors.js";
import { type Logger, silentLogger } from "../log.js";
import { acquireLockFile, type LockFile, ProcessError } from "../process/index.js";
import { checkTls, RunnerServer, type ServerTlsOptions } from "../rpc/index.js";
import { machineId } from "../scheduler/ids.js";
import {
  type HealthReport,
  HostNames,
  type RunnerState,
  StatusError,
  StatusRouter,
  StatusServer,
  type StatusSource,
} from "../status/index.js";
import { assemble, type RunnerParts } from "./assembly.js";
import { giveBack, takeOver } from "./attempt/resume.js";
import { RunnerError } from "./errors.js";
import type { QueueRunnerOptions } from "./options.js";
import { UnprovenFile } from "./outputs/unproven-file.js";
import { uploadModeOf } from "./outputs/upload-mode.js";
import { HealthWatch } from "./service/health-watch.js";
import { isOpenToEverybody } from "./service/open-port.js";
import { createRpcHandlers } from "./service/rpc-handlers.js";
import { onlyWhenActive, whileActive } from "./service/state-guards.js";
import { createStatusSource } from "./service/status-source.js";
import { AttemptIds, loadAttemptKey, newAttemptKey } from "./state/attempt-ids.js";
import { Problems } from "./state/problems.js";

/** Why a runner is over; `exitCode` is what a process should end with. */
export interface RunnerExit {
  readonly reason: "closed" | "lockLost";
  readonly exitCode: number;
}

/** How long the statements under way may take to end at the close. */
const databaseCloseMs = 10_000;
/** How long recording may go on after the last attempt ended. */
const recordingGraceMs = 30_000;
/** How long a predecessor on the same data folder may take to die once its lock in the database is gone. */
const lockFileGraceMs = 5_000;

/** Closing waits this long for a start that is under way to end. */
const startGraceMs = 5_000;

interface Opened {
  readonly connect: UnconnectedDatabase["connect"];
  readonly database: HydraDatabase;
  readonly listener: Listener;
  readonly lock: OwnerLock;
  readonly parts: RunnerParts;
  readonly source: StatusSource;
  readonly watch: HealthWatch;
}

/** A queue runner; `start` it once, `close` it at the end. */
export class QueueRunner implements AsyncDisposable {
  readonly #options: QueueRunnerOptions;
  readonly #logger: Logger;
  readonly #now: () => number;
  /** Aborts as soon as closing begins. */
  readonly #abort = new AbortController();
  /** Aborts when running steps are drained or given back, before the database is given up. */
  readonly #stopped = new AbortController();
  readonly #startedAt: number;
  /** What does not work at present. */
  readonly #problems: Problems;
  #config: QueueRunnerConfig;
  #state: RunnerState = "starting";
  #opened: Opened | undefined;
  #router: StatusRouter | undefined;
  #rest: StatusServer | undefined;
  #grpc: RunnerServer | undefined;
  #lockFile: LockFile | undefined;
  #starting: Promise<void> | undefined;
  #takeover: Promise<void> | undefined;
  #closing: Promise<void> | undefined;
  #finish: (exit: RunnerExit) => void = () => {};
  /** Resolves when the runner is over; never rejects. */
  readonly finished: Promise<RunnerExit>;

  constructor(options: QueueRunnerOptions) {
    this.#options = options;
    this.#config = options.config;
    this.#logger = options.logger ?? silentLogger;
    this.#now = options.now ?? Date.now;
    this.#startedAt = this.#now();
    this.#problems = new Problems({ logger: this.#logger, now: this.#now });
    this.finished = new Promise((resolve) => {
      this.#finish = resolve;
    });
  }

  /** Where it is in its life; see the head of this file. */
  get state(): RunnerState {
    return this.#state;
  }

  /** Nothing is known to be broken. Trouble outside of the process counts too, so restarting would not mend it. */
  get healthy(): boolean {
    return this.#problems.present.length === 0;
  }

  /** Where the status API listens. */
  get restAddress(): AddressInfo | string | undefined {
    return this.#rest?.address;
  }

  /** Where builders connect. */
  get grpcAddress(): AddressInfo | string | undefined {
    return this.#grpc?.addresses[0];
  }

  /**
   * Opens the listeners, then the stores and the database (waiting for one that is down). Resolves when the runner is
   * active, or in standby behind another runner; requests are answered before.
   *
   * @throws UsageError for settings that cannot work: addresses, keys, a database that refuses us
   */
  async start(): Promise<void> {
    this.#starting ??= this.#start();
    try {
      await this.#starting;
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  async #start(): Promise<void> {
    const opened = await this.#open();
    this.#opened = opened;
    await this.#listen(opened);
    const { remoteStoreAddr, overflowStore } = this.#config;
    await opened.parts.uploads.open({ stores: remoteStoreAddr, overflow: overflowStore });
    await opened.connect();
    if (await this.#tryAcquire(opened.lock)) return this.#activate(opened);
    this.#state = "standby";
    this.#logger.info("another runner owns the database; waiting as its standby");
    this.#takeover = this.#waitForLock(opened);
  }

  /** A database that goes away again at this moment is waited for. */
  async #tryAcquire(lock: OwnerLock): Promise<boolean> {
    const backoff = new Backoff({ firstMs: 250, longestMs: 5_000 });
    for (;;) {
      try {
        return await lock.tryAcquire();
      } catch (error) {
        const kind = failureKind(error);
        if (kind !== "lost" && kind !== "conflict") throw error;
        this.#logger.warn("the database does not say who owns it; asking again", { error });
      }
      await backoff.wait(this.#abort.signal);
    }
  }

  /**
   * Takes new settings, and a new certificate, over: what can change while the runner works does, the rest waits for a
   * restart.
   *
   * @throws UsageError when the new settings cannot work; the old ones then stay in force
   */
  async reload(config: QueueRunnerConfig, tls?: ServerTlsOptions): Promise<void> {
    const opened = this.#opened;
    if (opened === undefined) throw new StatusError("unavailable", "the runner has not started yet");
    const { parts } = opened;
    if (tls !== undefined) checkTls(tls);
    await parts.uploads.open({ stores: config.remoteStoreAddr, overflow: config.overflowStore });
    try {
      await this.#grpc?.reloadTokens(config.tokenPaths);
    } catch (error) {
      const { remoteStoreAddr, overflowStore } = this.#config;
      await parts.uploads.open({ stores: remoteStoreAddr, overflow: overflowStore });
      throw error;
    }
    if (tls !== undefined) this.#grpc?.reloadTls(tls);
    this.#config = config;
    parts.scheduler.setOptions(parts.policies.settings(config));
    parts.logs.setMaxBytes(config.maxLogSize);
    this.#router = this.#makeRouter(opened);
    parts.sessions.broadcast({
      kind: "configUpdate",
      maxConcurrentDownloads: config.maxConcurrentDownloads,
    });
    parts.scheduler.requestRound();
  }

  /** Stops: no new step is assigned, what runs gets `drainTimeoutInS` to end, then it is given back to the queue. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #open(): Promise<Opened> {
    const { store, random = Math.random } = this.#options;
    const config = this.#config;
    const logger = this.#logger;
    const { database, connect } = await prepareHydraDatabase({
      url: config.dbUrl.reveal(),
      dataDir: config.hydraDataDir,
      maxConnections: config.maxDbConnections,
      logger,
      signal: this.#abort.signal,
      onRetry: () => this.#opened?.parts.metrics.add("databaseRetries"),
    });
    try {
      const listener = new Listener({ database, logger });
      const graceMs = (): number => this.#config.databaseGraceInS * 1000;
      const lock = new OwnerLock({ database, logger, graceMs });
      const unprovenMemory = new UnprovenFile({
        path: join(config.hydraDataDir, "queue-runner", "unproven-paths"),
        logger,
        random,
        stopped: this.#stopped.signal,
      });
      const parts = assemble({
        attemptIds: await this.#attemptIds(),
        unprovenBefore: await unprovenMemory.load(),
        unprovenMemory,
        config: () => this.#config,
        store,
        database,
        listener,
        logger,
        clock: { now: this.#now, random },
        policies: this.#options,
        closing: this.#abort.signal,
        stopped: this.#stopped.signal,
        problems: this.#problems,
        mayStart: () => ownerAnswers(lock),
      });
      lock.onAnswering(() => parts.scheduler.requestRound());
      const source = createStatusSource({
        ...parts,
        startedAt: this.#startedAt,
        database,
        health: () => this.#health(),
      });
      const watch = new HealthWatch({
        ...parts,
        problems: this.#problems,
        database,
        listener,
        folder: join(config.hydraDataDir, "queue-runner"),
        active: () => this.#state === "active",
      });
      watch.start();
      return {
        database,
        connect,
        listener,
        lock,
        parts,
        source: whileActive(source, () => this.#state),
        watch,
      };
    } catch (error) {
      await database.close();
      throw error;
    }
  }

  /** Without a key file the work goes on; only a restart costs the builds that run then. */
  async #attemptIds(): Promise<AttemptIds> {
    const path = join(this.#config.hydraDataDir, "queue-runner", "attempt-key");
    try {
      return new AttemptIds(await loadAttemptKey(path));
    } catch (error) {
      const consequence = "builds that run at the next restart are built again";
      this.#logger.warn("the key of attempts cannot be read or made", { path, consequence, error });
      return new AttemptIds(newAttemptKey());
    }
  }

  async #waitForLock(opened: Opened): Promise<void> {
    try {
      await opened.lock.acquire(this.#abort.signal);
      await this.#activate(opened);
    } catch (error) {
      if (this.#abort.signal.aborted) return;
      this.#logger.error("could not take the database over", { error });
      this.#finish({ reason: "lockLost", exitCode: 1 });
    }
  }

  /** We own the database: tidy up after a predecessor, then work. */
  async #activate({ lock, parts, database, listener }: Opened): Promise<void> {
    this.#lockFile = await this.#acquireLockFile();
    lock.lost.throwIfAborted();
    lock.lost.addEventListener("abort", () => this.#lockLost(lock.lost.reason), { once: true });
    database.fence(lock);
    await takeOver(parts, this.#logger);
    listener.start();
    this.#abort.signal.throwIfAborted();
    this.#state = "active";
    if (this.#options.disableQueueMonitor !== true) parts.monitor.start();
    void parts.leftBehind.run(this.#abort.signal);
    parts.scheduler.requestRound();
    this.#logger.info("active");
  }

  /** Keeps a Rust runner out, which knows nothing of the lock in the database. A dying one gets a moment to let go. */
  async #acquireLockFile(): Promise<LockFile> {
    const path = join(this.#config.hydraDataDir, "queue-runner", "lock");
    const deadline = this.#now() + lockFileGraceMs;
    for (;;) {
      try {
        return await acquireLockFile(path);
      } catch (error) {
        const held = error instanceof ProcessError && error.code === "locked" && this.#now() <= deadline;
        if (!held && !isShortage(error)) throw error;
        if (!held) this.#logger.warn("the lock file cannot be written; trying again", { path, error });
        await sleep(held ? 200 : 2_000, { signal: this.#abort.signal });
      }
    }
  }

  #lockLost(error: unknown): void {
    if (this.#closing !== undefined) return;
    this.#logger.error("the owner lock of the database is lost; nothing is written any more", { error });
    this.#state = "stopping";
    this.#opened?.parts.dispatcher.close();
    // The builders keep what they build, and take it to the new owner.
    this.#opened?.parts.sessions.disconnectAll("this runner does not own the database any more");
    this.#finish({ reason: "lockLost", exitCode: 1 });
  }

  async #listen(opened: Opened): Promise<void> {
    const { store, rest, grpc, tls } = this.#options;
    const { parts } = opened;
    const logger = this.#logger;
    this.#router = this.#makeRouter(opened);
    const handlers = createRpcHandlers({
      ...parts,
      logger,
      ownVersion: () => this.#config.protocolVersion,
      acceptedVersions: () => this.#config.acceptedPeerVersions,
      tokensNameHosts: () => this.#config.bindTokensToHosts,
      forcedSubstituters: () =>
        uploadModeOf(this.#config) === "from-builders" ? this.#config.forcedSubstituters : [],
    });
    this.#grpc = await RunnerServer.start({
      handlers: onlyWhenActive(
        handlers,
        () => this.#state,
        (machine) => parts.scheduler.view.hasMachine(machineId(machine)),
      ),
      storeDir: store.storeDir,
      listeners: [grpc],
      tls,
      tokenPaths: this.#config.tokenPaths,
      logger,
      healthy: () => this.#state === "active",
    });
    // Last: what gets an answer here may rely on builders being able to join.
    if (rest !== undefined) {
      this.#rest = await StatusServer.listen({
        handler: (request, response) => this.#router?.handle(request, response),
        listen: listenOptions(rest),
        logger,
      });
    }
    const tokens = this.#config.tokenPaths !== undefined;
    const clientCertificates = tls?.clientCa !== undefined;
    if (isOpenToEverybody(this.grpcAddress, { tokens, clientCertificates })) {
      logger.warn("everybody who reaches the port of the builders can join; see docs/security.md", {
        grpc: this.grpcAddress,
      });
    }
  }

  #makeRouter({ source, parts }: Opened): StatusRouter {
    const { rest, version } = this.#options;
    return new StatusRouter({
      hosts: new HostNames({
        names: this.#config.statusHosts,
        bound: rest?.kind === "tcp" ? rest.host : undefined,
      }),
      source,
      metrics: parts.metrics,
      logger: this.#logger,
      writeToken: this.#config.statusToken?.reveal(),
      ...(version === undefined ? {} : { version }),
    });
  }

  #health(): HealthReport {
    const { present, canRecord } = this.#problems;
    const queueLoaded = this.#opened?.parts.monitor.loaded ?? false;
    const working = this.#state === "active" || this.#state === "draining";
    const owns = !working || (this.#opened !== undefined && ownerAnswers(this.#opened.lock));
    return { state: this.#state, problems: present, queueLoaded, canRecord: canRecord && owns };
  }

  async #close(): Promise<void> {
    const wasActive = this.#state === "active";
    this.#state = wasActive ? "draining" : "stopping";
    this.#abort.abort(new Error("the runner is closing"));
    // What they wait for may be a database that does not come back.
    await atMost(Promise.allSettled([this.#starting, this.#takeover]), startGraceMs);
    const opened = this.#opened;
    if (opened !== undefined) {
      const { parts } = opened;
      parts.dispatcher.close();
      await parts.monitor.close();
      if (wasActive) await this.#drain(parts);
      this.#state = "stopping";
      if (wasActive) await atMost(giveBack(parts), recordingGraceMs);
      parts.sessions.disconnectAll("the runner is shutting down");
      // Without the lock nothing can be recorded any more.
      if (wasActive) await parts.tasks.drained(recordingGraceMs);
    }
    await this.#grpc?.close({ graceMs: 1_000 });
    await this.#rest?.close(500);
    if (opened !== undefined) {
      await opened.watch.close();
      await opened.parts.uploads.close();
      await opened.listener.close();
      this.#stopped.abort(new RunnerError("closed", "the runner has stopped"));
      await opened.lock.release();
      await this.#lockFile?.release();
      // Statements that a silent server never answers are not waited for.
      await atMost(opened.database.close(), databaseCloseMs);
    }
    this.#finish({ reason: "closed", exitCode: 0 });
  }

  async #drain({ attempts, results, tasks }: RunnerParts): Promise<void> {
    const deadline = this.#now() + this.#config.drainTimeoutInS * 1000;
    if (attempts.size > 0) this.#logger.info("waiting for running steps", { steps: attempts.size });
    while (attempts.size > 0 && this.#now() < deadline) await sleep(50);
    await results.recorded(recordingGraceMs);
    if (attempts.size === 0) await tasks.drained(recordingGraceMs);
  }
}

/** What happens now could be recorded. */
function ownerAnswers(lock: OwnerLock): boolean {
  return lock.isHeld && lock.silentSince === undefined;
}

function listenOptions(
  listener: QueueRunnerOptions["grpc"],
): { readonly fd: number } | { readonly host: string; readonly port: number } | { readonly path: string } {
  switch (listener.kind) {
    case "fd":
      return { fd: listener.fd };
    case "tcp":
      return { host: listener.host, port: listener.port };
    case "unix":
      return { path: listener.path };
  }
}
