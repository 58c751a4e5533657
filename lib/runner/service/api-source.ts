/** What the routes below `/api/` see of a running queue runner. */
import type { QueueRunnerConfig } from "../../config/types.js";
import type { HydraDatabase } from "../../database/index.js";
import type { LockOwner } from "../../database/ownership/owner-lock.js";
import { parseStorePath } from "../../nix/path/store-path.js";
import { buildId, stepId } from "../../scheduler/ids.js";
import type { WhyNotRunning } from "../../scheduler/types.js";
import type {
  ApiSource,
  ApiTopic,
  HealthReport,
  LogRecord,
  NamedBuild,
  StepExplanation,
} from "../../status/index.js";
import type { EventBus, RunnerEventName } from "../events/index.js";
import type { RunnerEdges } from "../outputs/edges.js";
import { followLog, logFiles, logLength, readLog } from "../outputs/logs/log-files.js";
import type { BuildRegistry } from "../state/build-registry.js";
import type { QueuedBuild } from "../state/queued-build.js";
import type { RunnerStore } from "../state/runner-store.js";
import type { RunningScheduler } from "../state/running-scheduler.js";
import { answeredSoon, apiRecords } from "./api-records.js";
import { historyHours, RunHistory } from "./history.js";

/** Answers that an event changes. */
const topicsOf: Readonly<Record<RunnerEventName, readonly ApiTopic[]>> = {
  stepStarted: ["overview", "machines", "queue", "builds", "steps"],
  stepProgress: ["builds", "steps"],
  stepFinished: ["overview", "machines", "queue", "builds", "steps", "jobsets"],
  stepRetried: ["overview", "machines", "queue", "builds", "steps"],
  stepRecorded: ["steps"],
  buildStarted: ["builds"],
  buildFinished: ["overview", "builds", "jobsets"],
  buildRemoved: ["overview", "queue", "builds", "jobsets"],
  machineJoined: ["overview", "machines", "queue"],
  machineLeft: ["overview", "machines", "queue"],
  machineHeld: ["overview", "machines", "queue"],
  machineReleased: ["overview", "machines", "queue"],
  uploadRetried: ["uploads"],
  uploadFinished: ["uploads"],
  problem: ["overview", "problems", "uploads"],
};
const eventNames = Object.keys(topicsOf) as readonly RunnerEventName[];

/** What answers are made from. */
export interface ApiSourceOptions {
  /** Read at each use: a reload changes it. */
  readonly config: () => Pick<QueueRunnerConfig, "farmName" | "frontendUrl">;
  readonly store: Pick<RunnerStore, "storeDir">;
  readonly database: HydraDatabase;
  readonly scheduler: RunningScheduler;
  readonly registry: BuildRegistry;
  readonly health: () => HealthReport;
  readonly events: EventBus;
  readonly logs: Pick<RunnerEdges["logs"], "pathOf">;
  readonly uploads: Pick<RunnerEdges["uploads"], "waiting" | "oldestSince" | "retryNow">;
  /** The runner that has the lock of the database while we wait for it. */
  readonly leader: () => LockOwner | undefined;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

/** Begins to count what happens. */
export function createApiSource(options: ApiSourceOptions): ApiSource {
  const { config, store, database, scheduler, registry, events, logs, uploads, now } = options;
  const { view } = scheduler;
  const isAway = (): boolean => options.health().problems.some(({ part }) => part === "database");
  const history = new RunHistory({
    events,
    now,
    slots: () => {
      const machines = scheduler.machines();
      return {
        slotsUsed: machines.reduce((sum, { jobs }) => sum + jobs, 0),
        slots: machines.reduce((sum, { info }) => sum + info.maxJobs, 0),
      };
    },
    past: async (since, until) => {
      // Rows have whole seconds. A runner that is replaced at once ends steps in the second of our start; we cannot yet.
      const seconds = [Math.floor(since / 1000), Math.floor(until / 1000) + 1] as const;
      const rows = await answeredSoon(isAway() ? undefined : database.endedSteps(...seconds));
      return rows.map(({ at, ...counts }) => ({ at: at * 1000, ...counts }));
    },
  });
  return {
    settings: () => {
      const { farmName, frontendUrl } = config();
      return { farmName, frontendUrl: frontendUrl?.replace(/\/+$/, "") };
    },
    leader: options.leader,
    stepOrder: () => {
      const { stepOrder } = view.options;
      return typeof stepOrder === "function" ? "own" : stepOrder;
    },
    get unknownMs() {
      return view.options.defaultDurationMs;
    },
    systems: () => view.systems(),
    rows: () => view.rows(),
    row: (drv) => view.row(stepId(drv)),
    why: (drv, place) => explained(scheduler.why(stepId(drv), place)),
    inputs: (drv) => view.inputs(stepId(drv)),
    dependents: (drv) => view.dependents(stepId(drv)),
    queuedBuild: (id) => {
      const build = registry.get(buildId(id));
      return build === undefined ? undefined : named(build);
    },
    queuedBuilds: () => Array.from(registry.all(), named),
    history: (hours) => history.report(Math.min(hours, historyHours)),
    endedProblems: () => history.endedProblems,
    records: apiRecords({ database, storeDir: store.storeDir, isAway }),
    uploads: {
      paths: (limit) => uploads.waiting(limit),
      oldestSince: () => uploads.oldestSince(),
      retry: () => uploads.retryNow(),
    },
    logs: { list: (drv) => logRecords(logs.pathOf(parseStorePath(drv))) },
    listen: (listener) => {
      const ends = eventNames.map((name) => events.on(name, (event) => listener(event, topicsOf[name])));
      return () => {
        for (const end of ends) end();
      };
    },
  };
}

function named({ id, project, jobsetName, job, drv }: QueuedBuild): NamedBuild {
  return { id, project, jobset: jobsetName, job, drv };
}

function explained(why: WhyNotRunning): StepExplanation {
  return why.code === "unknown" ? { code: "unknown" } : why;
}

async function logRecords(path: string): Promise<LogRecord[]> {
  const files = await logFiles(path);
  return files.map((file, index) => ({
    modifiedAt: file.modifiedAt,
    isNewest: index === files.length - 1,
    read: (part) => readLog(file, part),
    length: () => logLength(file),
    follow: (part) => followLog(file, part),
  }));
}
