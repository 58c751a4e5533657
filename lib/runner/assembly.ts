/**
 * The runner's parts, each made from those above it. No part starts by itself; `QueueRunner` owns their life.
 *
 * The order is that of a build: what is remembered, where outputs go and what is recorded, ingestion, attempts. The one
 * loop in it, from the scheduler's choices back to the parts that carry them out, is closed by `scheduler.connect`.
 */
import { Mutex, TaskGroup } from "../async/index.js";
import type { Logger } from "../log.js";
import { principalKey } from "../rpc/index.js";
import type { MachineId } from "../scheduler/ids.js";
import { Metrics } from "../status/index.js";
import { Adoption } from "./attempt/adoption.js";
import { AttemptEndings } from "./attempt/attempt-endings.js";
import { BuilderSessions } from "./attempt/builder-sessions.js";
import { BuiltOutputs } from "./attempt/built-outputs.js";
import { Dispatcher } from "./attempt/dispatcher.js";
import { Effects } from "./attempt/effects.js";
import { AttemptLauncher } from "./attempt/launcher.js";
import { MachineEvents } from "./attempt/machine-events.js";
import { ResolvedSteps } from "./attempt/resolved-steps.js";
import { Results } from "./attempt/results.js";
import { StepEvents } from "./attempt/step-events.js";
import type { RunnerContext } from "./context.js";
import { EventBus } from "./events/index.js";
import { writeJournal } from "./events/journal.js";
import { CachedBuilds } from "./ingestion/cached-builds.js";
import { EarlierAttempts } from "./ingestion/earlier-attempts.js";
import { GraphGrowth } from "./ingestion/graph-growth.js";
import { GraphSurveys } from "./ingestion/graph-survey.js";
import { Ingestion } from "./ingestion/ingestion.js";
import { OverflowCopies } from "./ingestion/overflow-copies.js";
import { QueueMonitor } from "./ingestion/queue-monitor.js";
import { IncomingOutputs } from "./outputs/arriving/incoming-outputs.js";
import { LeftBehind } from "./outputs/arriving/left-behind.js";
import { openEdges, type RunnerEdges } from "./outputs/edges.js";
import { PresignedUploads } from "./outputs/presigned/presigned-uploads.js";
import { Publisher } from "./outputs/publisher.js";
import { uploadModeOf } from "./outputs/upload-mode.js";
import { Policies } from "./policies.js";
import { BuildEvents } from "./recording/build-events.js";
import { Recorder } from "./recording/recorder.js";
import { StepCosts } from "./recording/step-costs.js";
import { buildsAtOnce, timerMs } from "./scheduler-settings.js";
import { guardedTraceOrder } from "./sinks.js";
import { AttemptIds, newAttemptKey } from "./state/attempt-ids.js";
import { AttemptRegistry } from "./state/attempts.js";
import { BuildRegistry } from "./state/build-registry.js";
import { RunnerCounters } from "./state/counters.js";
import { DerivationCatalog } from "./state/derivation-catalog.js";
import { InputResolver } from "./state/input-resolver.js";
import { MachineOwners } from "./state/machine-owners.js";
import { announceProblems } from "./state/problem-events.js";
import { Problems } from "./state/problems.js";
import { ProvenStore } from "./state/proven-store.js";
import type { RunnerStore } from "./state/runner-store.js";
import { RunningScheduler } from "./state/running-scheduler.js";
import { UnprovenPaths } from "./state/unproven-paths.js";

/** The parts that others start, stop or ask. */
export interface RunnerParts {
  /** As far as it may be believed. */
  readonly store: RunnerStore;
  readonly scheduler: RunningScheduler;
  readonly policies: Policies;
  readonly events: EventBus;
  readonly stepEvents: StepEvents;
  readonly metrics: Metrics;
  readonly counters: RunnerCounters;
  readonly tasks: TaskGroup;
  readonly attempts: AttemptRegistry;
  readonly owners: MachineOwners;
  readonly registry: BuildRegistry;
  readonly catalog: DerivationCatalog;
  readonly sessions: BuilderSessions;
  readonly incoming: IncomingOutputs;
  readonly leftBehind: LeftBehind;
  readonly recorder: Recorder;
  readonly endings: AttemptEndings;
  readonly results: Results;
  readonly logs: RunnerEdges["logs"];
  readonly uploads: RunnerEdges["uploads"];
  readonly presigned: PresignedUploads;
  readonly earlierAttempts: EarlierAttempts;
  readonly monitor: QueueMonitor;
  readonly dispatcher: Dispatcher;
}

/** Makes the parts. Nothing is read or written yet. */
export function assemble(context: RunnerContext): RunnerParts {
  const { config, store: raw, database, listener, logger, clock, closing, stopped } = context;
  const { now, random } = clock;
  const uploadMode = () => uploadModeOf(config());
  // The level of each can be set by its name; see docs/configuration.md.
  const room = (name: string): Logger => logger.child({}, name);
  const tasks = new TaskGroup((error) => logger.error("background work failed", { error }));

  // What is remembered.
  const problems = context.problems ?? new Problems({ now });
  const events = context.events ?? new EventBus(logger);
  writeJournal(events, room("journal"));
  announceProblems(problems, events);
  const metrics = new Metrics();
  const counters = new RunnerCounters(metrics, events);
  const machineEvents = new MachineEvents({ events, now });
  const policies = new Policies(context.policies ?? {}, logger);
  const scheduler = new RunningScheduler(policies.settings(config()), clock, (notice) => {
    if (notice.kind === "policyFailed") {
      policies.failed(notice);
      // Not in the middle of the change that asked the rule.
      queueMicrotask(() => scheduler.setOptions(policies.settings(config())));
      return;
    }
    machineEvents.noticed(notice);
  });
  const attempts = new AttemptRegistry();
  const attemptIds = context.attemptIds ?? new AttemptIds(newAttemptKey());
  const registry = new BuildRegistry({ now });
  const traceOrder = guardedTraceOrder(context.traceOrder, logger);
  const stepEvents = new StepEvents({ events, registry, machines: machineEvents, now, traceOrder });
  const buildEvents = new BuildEvents({ events, registry, now });
  const unproven = new UnprovenPaths({
    before: context.unprovenBefore,
    memory: context.unprovenMemory,
    background: (work) => tasks.start(work),
  });
  const store = new ProvenStore(raw, unproven);
  const catalog = new DerivationCatalog(store);
  const resolver = new InputResolver({ store, database, catalog });

  // Where outputs and logs go.
  const outputsLog = room("outputs");
  const edges = (context.openEdges ?? openEdges)({
    config,
    uploadMode,
    store,
    logger: outputsLog,
    tasks,
    problems,
    events,
    caches: context.caches,
  });
  const { logs, uploads, readNixSupport } = edges;
  const incoming = new IncomingOutputs({ store: raw, unproven, attempts });
  const leftBehind = new LeftBehind({ store: raw, unproven, attempts, logger: outputsLog });
  const presigned = new PresignedUploads({ uploads, store, memory: context.heldNarInfos });
  const publisher = new Publisher({ logs, uploads, presigned, tasks, logger: outputsLog });

  // What is recorded.
  const recordingLog = room("recording");
  const recorder = new Recorder({
    database,
    storeDir: store.storeDir,
    logPath: (drv) => logs.pathOf(drv),
    rememberFailures: () => true,
    signal: stopped,
    problems,
    onStarted: (builds) => buildEvents.started(builds),
    onEnded: (id, result) => {
      buildEvents.finished(id, result);
      registry.ended(id, result);
    },
    logger: recordingLog,
    now,
    random,
  });

  // From rows to steps.
  const ingestionLog = room("ingestion");
  const earlierAttempts = new EarlierAttempts({ retry: () => scheduler.view.options.retry, random });
  const cached = new CachedBuilds({ store, database, recorder, readNixSupport, uploads, counters });
  const surveys = new GraphSurveys({
    scheduler,
    earlierAttempts,
    store,
    database,
    catalog,
    resolver,
    recorder,
    incoming,
    uploads,
    counters,
    logger: ingestionLog,
    useSubstitutes: () => config().useSubstitutes,
    uploadMode,
  });
  const copies = new OverflowCopies({
    scheduler,
    uploads,
    recorder,
    cached,
    counters,
    tasks,
    logger: ingestionLog,
  });
  const turns = new Mutex();
  const growth = new GraphGrowth({
    scheduler,
    surveys,
    copies,
    uploads,
    turns,
    tasks,
    logger: ingestionLog,
    random,
    closing,
  });
  const ingestion = new Ingestion({
    scheduler,
    surveys,
    growth,
    uploads,
    recorder,
    registry,
    cached,
    counters,
    turns,
    logger: ingestionLog,
  });
  const monitor = new QueueMonitor({
    scheduler,
    database,
    listener,
    ingestion,
    recorder,
    registry,
    buildEvents,
    storeDir: store.storeDir,
    counters,
    tasks,
    logger: ingestionLog,
    intervalMs: () => timerMs(config().queueTriggerTimerInS),
    stopAfterMs: () => timerMs(config().stopQueueRunAfterInS),
    buildsAtOnce: () => buildsAtOnce(config()),
  });

  // From a machine to a result.
  const attemptLog = room("attempt");
  const builtOutputs = new BuiltOutputs({ scheduler, incoming, resolver, growth });
  const endings = new AttemptEndings({
    catalog,
    recorder,
    costs: new StepCosts({ database, enabled: () => config().recordResources, logger: recordingLog }),
    publisher,
    listener: builtOutputs,
    logger: attemptLog,
    random,
    stopped,
  });
  const results = new Results({
    scheduler,
    attempts,
    outputCheck: { store: raw, incoming, presigned, uploadMode, logger: attemptLog, random, stopped },
    endings,
    listener: builtOutputs,
    stepEvents,
    logger: attemptLog,
  });
  const resolvedSteps = new ResolvedSteps({
    scheduler,
    attempts,
    growth,
    builtOutputs,
    recorder,
    results,
    cached,
  });
  const sessions = new BuilderSessions({
    scheduler,
    machineEvents,
    logger: attemptLog,
    maxConcurrentDownloads: () => config().maxConcurrentDownloads,
  });
  const owners = new MachineOwners({
    inUse: (machine) => sessions.get(machine) !== undefined || attempts.countOn(machine) > 0,
    now,
  });
  const ownerOf = (machine: MachineId): string => {
    const owner = owners.of(machine);
    return owner === undefined ? "" : principalKey(owner.principal);
  };
  const launcher = new AttemptLauncher({
    scheduler,
    attempts,
    sessions,
    catalog,
    resolver,
    resolvedSteps,
    recorder,
    results,
    stepEvents,
    uploads,
    logger: attemptLog,
    limits: config,
    uploadMode,
  });
  const adoption = new Adoption({
    scheduler,
    sessions,
    launcher,
    monitor,
    recorder,
    isOurs: (id, step, machine) => attemptIds.isFor(id, { step, machine, principal: ownerOf(machine) }),
    logger: attemptLog,
  });
  const dispatcher = new Dispatcher({
    scheduler,
    adoption,
    launcher,
    tasks,
    metrics,
    newAttemptId: (step, machine) => attemptIds.next({ step, machine, principal: ownerOf(machine) }),
    mayStart: context.mayStart ?? (() => true),
    safetyIntervalMs: () => timerMs(config().dispatchTriggerTimerInS),
  });
  const effects = new Effects({
    attempts,
    sessions,
    results,
    machineEvents,
    catalog,
    tasks,
    logger: attemptLog,
  });
  scheduler.connect(effects, dispatcher);

  return {
    store,
    scheduler,
    policies,
    events,
    stepEvents,
    metrics,
    counters,
    tasks,
    attempts,
    owners,
    registry,
    catalog,
    sessions,
    incoming,
    leftBehind,
    recorder,
    endings,
    results,
    logs,
    uploads,
    presigned,
    earlierAttempts,
    monitor,
    dispatcher,
  };
}
