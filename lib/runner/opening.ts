/**
 * Opens what a runner works with, from the database to the parts, before anything listens or is owned. Only the health
 * watch is started.
 */
import { join } from "node:path";
import type { QueueRunnerConfig } from "../config/types.js";
import type { HydraDatabase } from "../database/hydra-database.js";
import { Listener } from "../database/listener.js";
import { prepareHydraDatabase, type UnconnectedDatabase } from "../database/open-hydra-database.js";
import { type LockOwner, OwnerLock } from "../database/ownership/owner-lock.js";
import type { Logger } from "../log.js";
import type { HealthReport, RunnerState, StatusSource } from "../status/index.js";
import { assemble, type RunnerParts } from "./assembly.js";
import { giveBack, takeOver } from "./attempt/takeover.js";
import type { EventBus } from "./events/index.js";
import type { QueueRunnerOptions } from "./options.js";
import { UnprovenFile } from "./outputs/arriving/unproven-file.js";
import { HeldNarInfos } from "./outputs/presigned/held-narinfos.js";
import { ownerAnswers, ownFolder } from "./ownership.js";
import type { RunnerPolicies } from "./policies.js";
import { createApiSource } from "./service/api-source.js";
import { HealthWatch } from "./service/health-watch.js";
import { whileActive } from "./service/state-guards.js";
import { createStatusSource } from "./service/status-source.js";
import { AttemptIds, loadAttemptKey, newAttemptKey } from "./state/attempt-ids.js";
import type { Problems } from "./state/problems.js";

/** What is opened, and closed again by the runner. */
export interface OpenedRunner {
  /** Waits for the database and prepares it; see `prepareHydraDatabase`. */
  readonly connect: UnconnectedDatabase["connect"];
  readonly database: HydraDatabase;
  readonly listener: Listener;
  readonly lock: OwnerLock;
  readonly parts: RunnerParts;
  /** See `attempt/takeover.ts`. */
  readonly takeOver: () => Promise<void>;
  /** See `attempt/takeover.ts`. */
  readonly giveBack: () => Promise<void>;
  readonly source: StatusSource;
  /** Started. */
  readonly watch: HealthWatch;
  /** The list of unproven paths. */
  readonly unproven: Pick<UnprovenFile, "close">;
}

/** What the runner knows before anything is opened. */
export interface OpeningOptions
  extends Pick<QueueRunnerOptions, "store" | "random" | "caches" | "traceOrder" | "logLevels"> {
  readonly policies: RunnerPolicies;
  readonly events: EventBus;
  /** Read at each use: a reload changes it. */
  readonly config: () => QueueRunnerConfig;
  readonly logger: Logger;
  readonly now: () => number;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  /** Aborts as soon as closing begins. */
  readonly closing: AbortSignal;
  /** Aborts when nothing can be recorded any more. */
  readonly stopped: AbortSignal;
  readonly problems: Problems;
  readonly state: () => RunnerState;
  readonly health: () => HealthReport;
}

/** @throws UsageError for a database address that cannot be used */
export async function openRunner(options: OpeningOptions): Promise<OpenedRunner> {
  const { store, random = Math.random, logger, now, closing, stopped, problems, state } = options;
  const config = options.config();
  const databaseLog = logger.child({}, "database");
  let parts: RunnerParts | undefined;
  const { database, connect } = await prepareHydraDatabase({
    url: config.dbUrl.reveal(),
    dataDir: config.hydraDataDir,
    maxConnections: config.maxDbConnections,
    logger: databaseLog,
    signal: closing,
    onRetry: () => parts?.metrics.add("databaseRetries"),
  });
  try {
    const listener = new Listener({ database, logger: databaseLog });
    const graceMs = (): number => options.config().databaseGraceInS * 1000;
    const lock = new OwnerLock({ database, logger: databaseLog, graceMs });
    const folder = ownFolder(config);
    const unprovenMemory = new UnprovenFile({
      path: join(folder, "unproven-paths"),
      logger,
      random,
      stopped,
    });
    const assembled = assemble({
      attemptIds: await attemptIds(join(folder, "attempt-key"), logger),
      unprovenBefore: await unprovenMemory.load(),
      unprovenMemory,
      heldNarInfos: new HeldNarInfos({
        folder: join(folder, "held-narinfos"),
        storeDir: store.storeDir,
        logger,
        now,
      }),
      config: options.config,
      store,
      database,
      listener,
      logger,
      clock: { now, random },
      policies: options.policies,
      events: options.events,
      caches: options.caches,
      traceOrder: options.traceOrder,
      closing,
      stopped,
      problems,
      mayStart: () => ownerAnswers(lock),
    });
    parts = assembled;
    lock.onAnswering(() => assembled.scheduler.requestRound());
    const { startedAt, health, logLevels } = options;
    const leader = (): LockOwner | undefined => lock.otherOwner;
    const api = createApiSource({ ...assembled, config: options.config, database, health, leader, now });
    const source = createStatusSource({ ...assembled, startedAt, database, health, logLevels, api });
    const active = (): boolean => state() === "active";
    const watch = new HealthWatch({ ...assembled, problems, database, listener, folder, active });
    watch.start();
    return {
      database,
      connect,
      listener,
      lock,
      parts: assembled,
      takeOver: () => takeOver(assembled, logger),
      giveBack: () => giveBack(assembled),
      source: whileActive(source, state),
      watch,
      unproven: unprovenMemory,
    };
  } catch (error) {
    await database.close();
    throw error;
  }
}

/** Without a key file the work goes on; only a restart costs the builds that run then. */
async function attemptIds(path: string, logger: Logger): Promise<AttemptIds> {
  try {
    return new AttemptIds(await loadAttemptKey(path));
  } catch (error) {
    const consequence = "builds that run at the next restart are built again";
    logger.warn("the key that authenticates attempt ids cannot be read or created", {
      path,
      consequence,
      error,
    });
    return new AttemptIds(newAttemptKey());
  }
}
