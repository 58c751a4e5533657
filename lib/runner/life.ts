/**
 * The life of a queue runner, from the first connection to the last commit.
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
import { atMost, sleep } from "../async/index.js";
import type { QueueRunnerConfig } from "../config/types.js";
import { type Logger, silentLogger } from "../log.js";
import type { LockFile } from "../process/index.js";
import type { ServerTlsOptions } from "../rpc/index.js";
import { StatusError } from "../status/errors.js";
import type { HealthReport, RunnerState } from "../status/index.js";
import type { RunnerParts } from "./assembly.js";
import { RunnerError } from "./errors.js";
import { EventBus } from "./events/index.js";
import type { RunnerListeners } from "./listening.js";
import type { OpenedRunner } from "./opening.js";
import type { QueueRunnerOptions } from "./options.js";
import { ownerAnswers, ownFolder, ownLockFile, tryToOwn } from "./ownership.js";
import { NotifierFeed, notifiersOf } from "./sinks.js";
import { recallResults } from "./state/earlier-results.js";
import { Problems } from "./state/problems.js";
import { steadyClock } from "./steady-clock.js";

/** Why a runner is over; `exitCode` is what a process should end with. */
export interface RunnerExit {
  readonly reason: "closed" | "lockLost";
  readonly exitCode: number;
}

/** How long the statements under way may take to end at the close. */
const databaseCloseMs = 10_000;
/** How long recording may go on after the last attempt ended. */
const recordingGraceMs = 30_000;
/** Closing waits this long for a start that is under way to end. */
const startGraceMs = 5_000;

/** Starts and closes what a runner consists of. */
export class RunnerLife {
  /** What happens; ends with the life. */
  readonly events: EventBus;
  /** What does not work at present. */
  readonly problems: Problems;
  /** Resolves when the life is over; never rejects. */
  readonly finished: Promise<RunnerExit>;
  readonly #options: QueueRunnerOptions;
  readonly #logger: Logger;
  readonly #now: () => number;
  /** Aborts as soon as closing begins. */
  readonly #abort = new AbortController();
  /** Aborts when running steps are drained or given back, before the database is given up. */
  readonly #stopped = new AbortController();
  readonly #startedAt: number;
  readonly #notifiers: readonly NotifierFeed[];
  #config: QueueRunnerConfig;
  #state: RunnerState = "starting";
  #opened: OpenedRunner | undefined;
  #listeners: RunnerListeners | undefined;
  #lockFile: LockFile | undefined;
  #starting: Promise<void> | undefined;
  #takeover: Promise<void> | undefined;
  #closing: Promise<void> | undefined;
  #finish: (exit: RunnerExit) => void = () => {};

  constructor(options: QueueRunnerOptions) {
    this.#options = options;
    this.#config = options.config;
    this.#logger = options.logger ?? silentLogger;
    this.#now = options.now ?? steadyClock(this.#logger);
    this.#startedAt = this.#now();
    this.problems = new Problems({ now: this.#now });
    this.events = new EventBus(this.#logger);
    this.#notifiers = notifiersOf(options).map(
      (notifier) => new NotifierFeed(this.events, notifier, this.#logger),
    );
    this.finished = new Promise((resolve) => {
      this.#finish = resolve;
    });
  }

  get state(): RunnerState {
    return this.#state;
  }

  /** Where the status API listens. */
  get restAddress(): AddressInfo | string | undefined {
    return this.#listeners?.restAddress;
  }

  /** Where builders connect. */
  get grpcAddress(): AddressInfo | string | undefined {
    return this.#listeners?.grpcAddress;
  }

  /** @throws StatusError `unavailable` before the runner has started */
  get opened(): OpenedRunner {
    if (this.#opened !== undefined) return this.#opened;
    throw new StatusError("unavailable", "the runner has not started yet");
  }

  /** See `QueueRunner.start`. A start that fails closes what was opened. */
  async start(): Promise<void> {
    this.#starting ??= this.#start();
    try {
      await this.#starting;
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  /** What only a runner that works needs is loaded here, so that importing the class is quick. */
  async #start(): Promise<void> {
    const [{ openRunner }, { RunnerListeners }] = await Promise.all([
      import("./opening.js"),
      import("./listening.js"),
      import("../compression/index.js").then(({ loadDecoders }) => loadDecoders()),
    ]);
    const logger = this.#logger;
    const config = (): QueueRunnerConfig => this.#config;
    const state = (): RunnerState => this.#state;
    const opened = await openRunner({
      ...this.#options,
      policies: this.#options,
      events: this.events,
      config,
      logger,
      now: this.#now,
      startedAt: this.#startedAt,
      closing: this.#abort.signal,
      stopped: this.#stopped.signal,
      problems: this.problems,
      state,
      health: () => this.#health(),
    });
    this.#opened = opened;
    this.#listeners = new RunnerListeners({ ...this.#options, ...opened, config, state, logger });
    await this.#listeners.open();
    const { remoteStoreAddr, overflowStore } = this.#config;
    await opened.parts.uploads.open({ stores: remoteStoreAddr, overflow: overflowStore });
    await opened.connect();
    if (await tryToOwn(opened.lock, { logger, signal: this.#abort.signal })) return this.#activate(opened);
    this.#state = "standby";
    logger.info("another runner owns the database; waiting as its standby");
    this.#takeover = this.#waitForLock(opened);
  }

  /** See `QueueRunner.reload`. */
  async reload(config: QueueRunnerConfig, tls?: ServerTlsOptions): Promise<void> {
    const { parts } = this.opened;
    if (tls !== undefined) this.#listeners?.checkTls(tls);
    await parts.uploads.open({ stores: config.remoteStoreAddr, overflow: config.overflowStore });
    try {
      await this.#listeners?.reloadTokens(config.tokenPaths);
    } catch (error) {
      const { remoteStoreAddr, overflowStore } = this.#config;
      await parts.uploads.open({ stores: remoteStoreAddr, overflow: overflowStore });
      throw error;
    }
    this.#config = config;
    this.#listeners?.reload(tls);
    parts.scheduler.setOptions(parts.policies.settings(config));
    parts.logs.setMaxBytes(config.maxLogSize);
    parts.sessions.broadcast({
      kind: "configUpdate",
      maxConcurrentDownloads: config.maxConcurrentDownloads,
    });
    parts.scheduler.requestRound();
  }

  /** See `QueueRunner.close`. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #waitForLock(opened: OpenedRunner): Promise<void> {
    try {
      await opened.lock.acquire(this.#abort.signal);
      await this.#activate(opened);
    } catch (error) {
      if (this.#abort.signal.aborted) return;
      this.#logger.error("could not take over the database", { error });
      this.#finish({ reason: "lockLost", exitCode: 1 });
    }
  }

  /** We own the database: tidy up after a predecessor, then work. */
  async #activate({ lock, parts, database, listener, takeOver }: OpenedRunner): Promise<void> {
    this.#lockFile = await ownLockFile({
      path: join(ownFolder(this.#config), "lock"),
      logger: this.#logger,
      now: this.#now,
      signal: this.#abort.signal,
    });
    lock.lost.throwIfAborted();
    lock.lost.addEventListener("abort", () => this.#lockLost(lock.lost.reason), { once: true });
    database.fence(lock);
    await takeOver();
    listener.start();
    this.#abort.signal.throwIfAborted();
    this.#state = "active";
    if (this.#options.disableQueueMonitor !== true) parts.monitor.start();
    void parts.leftBehind.run(this.#abort.signal);
    void recallResults({ database, registry: parts.registry, logger: this.#logger });
    parts.scheduler.requestRound();
    this.#logger.info("active");
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

  #health(): HealthReport {
    const { present, canRecord } = this.problems;
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
      if (wasActive) await atMost(opened.giveBack(), recordingGraceMs);
      parts.sessions.disconnectAll("the runner is shutting down");
      // Without the lock nothing can be recorded any more.
      if (wasActive) await parts.tasks.drained(recordingGraceMs);
    }
    await this.#listeners?.close();
    if (opened !== undefined) {
      await opened.watch.close();
      await opened.parts.uploads.close();
      await opened.listener.close();
      this.#stopped.abort(new RunnerError("closed", "the runner has stopped"));
      await opened.unproven.close();
      await opened.lock.release();
      await this.#lockFile?.release();
      // Statements that a silent server never answers are not waited for.
      await atMost(opened.database.close(), databaseCloseMs);
    }
    this.events.close();
    await Promise.all(this.#notifiers.map((one) => one.close()));
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
