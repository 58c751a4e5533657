/** What the status API sees of a running queue runner. */
import type { HydraDatabase } from "../../database/index.js";
import type { LogLevels } from "../../log-levels.js";
import { isDerivationPath, parseStorePath, printStorePath } from "../../nix/path/store-path.js";
import { buildId, type MachineId, machineId, stepId } from "../../scheduler/ids.js";
import type { BuildView } from "../../scheduler/views/views.js";
import {
  type ApiSource,
  type HealthReport,
  type NewBuildRequest,
  StatusError,
  type StatusSource,
  type StepExplanation,
} from "../../status/index.js";
import type { AttemptEndings } from "../attempt/attempt-endings.js";
import type { BuilderSessions } from "../attempt/builder-sessions.js";
import type { QueueMonitor } from "../ingestion/queue-monitor.js";
import type { RunnerEdges } from "../outputs/edges.js";
import type { AttemptRegistry } from "../state/attempts.js";
import type { BuildRegistry } from "../state/build-registry.js";
import type { RunnerCounters } from "../state/counters.js";
import type { DerivationCatalog } from "../state/derivation-catalog.js";
import type { RunnerStore } from "../state/runner-store.js";
import type { RunningScheduler } from "../state/running-scheduler.js";
import { machineReports } from "./machine-reports.js";
import { bumpBuild, cancelBuild } from "./steering.js";

/** What status requests are answered from. */
export interface StatusSourceOptions {
  readonly startedAt: number;
  readonly store: RunnerStore;
  readonly database: HydraDatabase;
  readonly scheduler: RunningScheduler;
  readonly sessions: BuilderSessions;
  readonly attempts: AttemptRegistry;
  readonly registry: BuildRegistry;
  readonly catalog: DerivationCatalog;
  readonly monitor: QueueMonitor;
  readonly endings: AttemptEndings;
  readonly counters: RunnerCounters;
  readonly health: () => HealthReport;
  readonly api: ApiSource;
  readonly logLevels?: LogLevels | undefined;
  readonly uploads: Pick<RunnerEdges["uploads"], "pending" | "pendingCount" | "traffic">;
}

/** One answer for each kind of status request. */
export function createStatusSource(options: StatusSourceOptions): StatusSource {
  const { store, scheduler, sessions, attempts, registry, counters, monitor, database, uploads } = options;
  const { view } = scheduler;
  return {
    startedAt: options.startedAt,
    storeDir: store.storeDir,
    health: options.health,
    api: options.api,
    ...(options.logLevels === undefined ? {} : { logLevels: options.logLevels }),
    machines: () => machineReports({ scheduler, sessions, attempts, counters }),
    jobsets: () => view.jobsets(),
    builds: (limit) => firstBuilds(view.builds(), limit),
    steps: () => view.steps(),
    queues: (limit) =>
      view
        .queues()
        .map((queue) => (limit === undefined ? queue : { ...queue, steps: queue.steps.slice(0, limit) })),
    queueStats: () => view.queueStats(),
    attempts: () => view.attempts(),
    reasonCounts: () => view.reasons(),
    counts: () => {
      const { builds, jobsets, steps } = view.sizes();
      const runnable = view.queueStats().reduce((sum, queue) => sum + queue.running + queue.ready, 0);
      return { builds, jobsets, steps, runnable };
    },
    pendingUploads: () => uploads.pending(),
    pendingUploadCount: () => uploads.pendingCount(),
    remoteStores: () => uploads.traffic(),
    recentBuilds: () =>
      registry.recent.map(({ build, ...result }) => ({
        id: build.id,
        project: build.project,
        jobset: build.jobsetName,
        job: build.job,
        drvPath: build.drv,
        ...result,
      })),
    skippedBuilds: () => monitor.badRows.map(({ build, ...row }) => ({ id: build, ...row })),
    isBuildActive: (id) => database.isBuildActive(id),
    submitBuild: (request) => submit(options, request),
    buildOne: (id) => monitor.ingestNow(buildId(id)),
    cancelBuild: (id) => cancelBuild(database, id),
    bumpBuild: (id) => bumpBuild(database, id),
    whyNotRunning: (drv) => explain(options, drv),
    drainMachine: (machine) => {
      const ids = machinesNamed(sessions, machine);
      for (const id of ids) scheduler.drainMachine(id);
      return ids;
    },
    resumeMachine: (machine) => {
      const ids = machinesNamed(sessions, machine);
      for (const id of ids) scheduler.resumeMachine(id);
      return ids;
    },
  };
}

/** All, or the `limit` most urgent. */
function firstBuilds(builds: readonly BuildView[], limit: number | undefined): readonly BuildView[] {
  if (limit === undefined || builds.length <= limit) return builds;
  return [...builds]
    .sort((a, b) => b.globalPriority - a.globalPriority || b.localPriority - a.localPriority || a.id - b.id)
    .slice(0, limit);
}

function machinesNamed(sessions: BuilderSessions, name: string): MachineId[] {
  const id = machineId(name);
  return sessions
    .all()
    .filter((session) => session.id === id || session.join.hostname === name)
    .map((session) => session.id);
}

/** @throws StatusError `not-found` for a derivation that the store does not have, `bad-request` for no derivation */
async function submit(options: StatusSourceOptions, request: NewBuildRequest): Promise<number> {
  const { store, database, catalog } = options;
  const drv = parseStorePath(request.drv);
  if (!isDerivationPath(drv)) throw new StatusError("bad-request", `drv: ${request.drv} is not a derivation`);
  if (!(await store.isValidPath(drv))) {
    throw new StatusError("not-found", `drv: ${request.drv} is not in the runner's store`);
  }
  const { system } = await catalog.facts(drv);
  const id = await database.submitBuild({
    jobsetId: request.jobsetId,
    drvPath: printStorePath(store.storeDir, drv),
    system,
  });
  if (id === undefined)
    throw new StatusError("not-found", `jobsetId: jobset ${request.jobsetId} does not exist`);
  await options.monitor.ingestNow(buildId(id));
  return id;
}

async function explain(options: StatusSourceOptions, drv: string): Promise<StepExplanation> {
  const { scheduler, endings, database, store } = options;
  const answer = scheduler.why(stepId(drv));
  if (answer.code !== "unknown") return answer;
  const path = parseStorePath(drv);
  if (endings.isPublishing(path)) return { code: "gated", gate: "upload" };
  const state = await database.stepState(printStorePath(store.storeDir, path));
  if (state === undefined) return { code: "unknown" };
  return {
    code: "finished",
    status: state.status,
    at: state.at === undefined ? undefined : state.at * 1000,
  };
}
