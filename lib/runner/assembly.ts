/**
 * Puts the runner's parts together. No part starts by itself; `QueueRunner` owns their life.
 *
 * Some parts need each other: effects of the scheduler go to sessions, sessions feed the scheduler. Those knots are
 * tied here and nowhere else.
 */
import { randomUUID } from "node:crypto";
import { TaskGroup } from "../async/index.js";
import type { QueueRunnerConfig } from "../config/types.js";
import type { HydraDatabase, Listener } from "../database/index.js";
import type { TransactionRunner } from "../database/recording/index.js";
import type { Logger } from "../log.js";
import type { StorePath } from "../nix/path/store-path.js";
import { type AttemptId, attemptId } from "../scheduler/ids.js";
import { Scheduler } from "../scheduler/index.js";
import type { DynamicContinuation } from "../scheduler/types.js";
import { Metrics } from "../status/index.js";
import { BuilderSessions } from "./attempt/builder-sessions.js";
import { Dispatcher } from "./attempt/dispatcher.js";
import { createEffects } from "./attempt/effects.js";
import { AttemptLauncher } from "./attempt/launcher.js";
import { ResolvedSteps } from "./attempt/resolved-steps.js";
import { Results } from "./attempt/results.js";
import { CachedBuilds } from "./ingestion/cached-builds.js";
import { EarlierAttempts } from "./ingestion/earlier-attempts.js";
import { Ingestion } from "./ingestion/ingestion.js";
import { OverflowCopies } from "./ingestion/overflow-copies.js";
import { QueueMonitor } from "./ingestion/queue-monitor.js";
import { type EdgesOptions, openEdges, type RunnerEdges } from "./outputs/edges.js";
import { IncomingOutputs } from "./outputs/incoming-outputs.js";
import { PresignedUploads } from "./outputs/presigned-uploads.js";
import { Recorder } from "./recording/recorder.js";
import { buildsAtOnce, schedulerSettings, timerMs } from "./scheduler-settings.js";
import { AttemptRegistry } from "./state/attempts.js";
import { BuildRegistry } from "./state/build-registry.js";
import { RunnerCounters } from "./state/counters.js";
import { DerivationCatalog } from "./state/derivation-catalog.js";
import { InputResolver } from "./state/input-resolver.js";
import type { RunnerStore } from "./state/runner-store.js";

/** What the runner asks and tells Hydra's database. */
export type RunnerDatabase = TransactionRunner &
  Pick<
    HydraDatabase,
    | "unfinishedBuilds"
    | "unfinishedBuildDigest"
    | "jobsets"
    | "jobsetUsage"
    | "failedPaths"
    | "earlierTries"
    | "stepDurations"
    | "resolveOutputChains"
    | "earlierBuildOfOutputs"
  >;

export interface RunnerContext {
  /** Read at each use: a reload changes it. */
  readonly config: () => QueueRunnerConfig;
  readonly store: RunnerStore;
  readonly database: RunnerDatabase;
  readonly listener: Pick<Listener, "onChange" | "onResync">;
  readonly logger: Logger;
  readonly now: () => number;
  readonly random: () => number;
  /** Default: random UUIDs. */
  readonly newAttemptId?: (() => AttemptId) | undefined;
  /** Default: those of production. */
  readonly openEdges?: ((options: EdgesOptions) => RunnerEdges) | undefined;
}

export interface RunnerParts {
  readonly scheduler: Scheduler;
  readonly metrics: Metrics;
  readonly counters: RunnerCounters;
  readonly tasks: TaskGroup;
  readonly attempts: AttemptRegistry;
  readonly registry: BuildRegistry;
  readonly catalog: DerivationCatalog;
  readonly sessions: BuilderSessions;
  readonly incoming: IncomingOutputs;
  readonly recorder: Recorder;
  readonly results: Results;
  readonly logs: RunnerEdges["logs"];
  readonly uploads: RunnerEdges["uploads"];
  readonly presigned: PresignedUploads;
  readonly earlierAttempts: EarlierAttempts;
  readonly ingestion: Ingestion;
  readonly monitor: QueueMonitor;
  readonly dispatcher: Dispatcher;
}

export function assemble(context: RunnerContext): RunnerParts {
  const { config, store, database, listener, logger, now, random } = context;
  const metrics = new Metrics();
  const counters = new RunnerCounters(metrics);
  const tasks = new TaskGroup((error) => logger.error("background work failed", { error }));
  const scheduler = new Scheduler(schedulerSettings(config()));
  const attempts = new AttemptRegistry();
  const incoming = new IncomingOutputs(store, attempts);
  const registry = new BuildRegistry();
  const catalog = new DerivationCatalog(store);
  const resolver = new InputResolver({ store, database, catalog });
  const presignedInForce = (): boolean => config().usePresignedUploads;
  const { logs, uploads, readNixSupport } = (context.openEdges ?? openEdges)({
    config,
    store,
    logger,
    tasks,
  });
  const presigned = new PresignedUploads({
    cacheOf: (attempt) => uploads.presignedCache(attempt),
    attempts,
    logger,
  });
  const recorder = new Recorder({
    database,
    storeDir: store.storeDir,
    logPath: (drv: StorePath) => logs.pathOf(drv),
    outputsAreLocal: () => !presignedInForce(),
    rememberFailures: () => true,
    random,
    onReleased: (builds) => tasks.start(() => monitor.lookAgain(builds)),
    onEnded: (id, result) => {
      registry.ended(id, result);
      metrics.add("buildsFinished");
    },
    logger,
    now,
  });
  const cached = new CachedBuilds({ store, database, recorder, readNixSupport, uploads, counters });
  const onChange = (): void => dispatcher.trigger();
  const onDynamic = (continuation: DynamicContinuation, drv: StorePath): void => {
    const build = scheduler.step(continuation.dependent)?.lowestBuild;
    if (build === undefined) return;
    tasks.start(() => ingestion.continueDynamic(continuation, drv, build));
  };
  const results = new Results({
    scheduler,
    attempts,
    store,
    catalog,
    recorder,
    counters,
    logger,
    now,
    random,
    publish: (publication) => uploads.publish(publication),
    onChange,
    onLogComplete: (drv) =>
      logs.finish(drv).catch((error: unknown) => logger.warn("log could not be compressed", { drv, error })),
    unpublished: (attempt, outputs) => presigned.lacking(attempt, outputs),
    onOver: (attempt, row, kind) => {
      tasks.start(() => presigned.abandon(attempt));
      if (kind === "finished") return;
      const name = row === undefined ? attempt.id : `${row.build}-${row.stepNumber}`;
      tasks.start(() => uploads.putLog(attempt, name, kind === "failed"));
    },
    onDynamic,
    onOutputs: (drv, outputs) => {
      incoming.complete(outputs.values());
      resolved.learnOutputs(drv, outputs);
    },
  });
  const perform = createEffects({
    attempts,
    sessions: () => sessions,
    results,
    counters,
    tasks,
    logger,
    systemOf: async (completion) => (await catalog.facts(completion.step as unknown as StorePath)).system,
  });
  const sessions = new BuilderSessions({
    scheduler,
    logger,
    now,
    random,
    perform,
    onChange,
    maxConcurrentDownloads: () => config().maxConcurrentDownloads,
    queueLoaded: () => monitor.loaded,
    onAdopted: (assignment) => {
      const startedAt = scheduler.attempt(assignment.attempt)?.startedAt ?? now();
      return launcher.adopt(assignment, startedAt);
    },
  });
  const earlierAttempts = new EarlierAttempts({ retry: () => scheduler.options.retry, random });
  const ingestion = new Ingestion({
    scheduler,
    earlierAttempts,
    store,
    database,
    catalog,
    resolver,
    recorder,
    registry,
    cached,
    incoming,
    uploads,
    counters,
    logger,
    now,
    useSubstitutes: () => config().useSubstitutes,
    onChange,
    onGated: (facts) => overflowCopies.start(facts),
  });
  const overflowCopies = new OverflowCopies({
    scheduler,
    uploads,
    recorder,
    cached,
    counters,
    tasks,
    logger,
    now,
    perform,
    onChange,
    onDynamic,
    buildAfterAll: (facts) => ingestion.buildAfterAll(facts),
  });
  const resolved = new ResolvedSteps({
    scheduler,
    attempts,
    ingestion,
    resolver,
    recorder,
    results,
    cached,
    now,
    random,
    onChange,
    onGated: (facts) => overflowCopies.start(facts),
  });
  const monitor = new QueueMonitor({
    scheduler,
    database,
    listener,
    ingestion,
    recorder,
    registry,
    storeDir: store.storeDir,
    counters,
    logger,
    now,
    perform,
    onChange,
    intervalMs: () => timerMs(config().queueTriggerTimerInS),
    stopAfterMs: () => timerMs(config().stopQueueRunAfterInS),
    buildsAtOnce: () => buildsAtOnce(config()),
  });
  const launcher = new AttemptLauncher({
    scheduler,
    attempts,
    sessions,
    catalog,
    resolver,
    recorder,
    results,
    counters,
    logger,
    now,
    random,
    limits: () => ({ maxLogSize: config().maxLogSize, maxOutputSize: config().maxOutputSize }),
    presigned: () => (presignedInForce() ? { uploadDebugInfo: uploads.wantsDebugInfo() } : undefined),
    onResolved: (attempt, drv) => resolved.replace(attempt, drv),
  });
  const dispatcher = new Dispatcher({
    scheduler,
    newAttemptId: context.newAttemptId ?? (() => attemptId(randomUUID())),
    launch: (assignment) => tasks.start(() => launcher.launch(assignment)),
    beforeAssign: () => sessions.adopt(),
    perform,
    safetyIntervalMs: () => timerMs(config().dispatchTriggerTimerInS),
    onRound: ({ milliseconds, waitedMs }) => {
      metrics.add("dispatcherWakeups");
      metrics.add("dispatchMs", milliseconds);
      metrics.add("dispatcherRunningUs", milliseconds * 1000);
      metrics.add("dispatcherWaitingUs", waitedMs * 1000);
    },
    now,
    random,
  });
  return {
    scheduler,
    metrics,
    counters,
    tasks,
    attempts,
    registry,
    catalog,
    sessions,
    incoming,
    recorder,
    results,
    logs,
    uploads,
    presigned,
    earlierAttempts,
    ingestion,
    monitor,
    dispatcher,
  };
}
