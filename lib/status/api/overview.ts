/** `GET /api/overview`: how the farm is, in one answer. */
import { BoundedMap } from "../../async/index.js";
import type { ReasonCounts, SystemView } from "../../scheduler/index.js";
import { noReasons } from "../../scheduler/views/queue-picture.js";
import { compareText } from "../answers/encoding.js";
import { explanationWords, resultWords, succeeded } from "../answers/words.js";
import type { MachineReport, RecentBuild, StatusSource } from "../types.js";
import { runningSteps, type TryNumbers } from "./running.js";
import type { ApiSource } from "./source.js";
import type {
  ApiHistory,
  ApiOverview,
  ApiProblem,
  ApiReasonCounts,
  ApiResult,
  ApiState,
  ApiSystem,
  ApiUploadSummary,
} from "./types.js";

const shownRows = 25;
/** Failures come first for so long, in milliseconds. */
const freshMs = 60_000;
const hourMs = 3_600_000;
const historyHours = 6;

/** State of the runner and who leads. */
export function apiState(source: StatusSource, api: ApiSource): ApiState {
  return { state: source.health().state, startedAt: source.startedAt, leader: api.leader() ?? null };
}

/** Problems that last, oldest first. */
export function openProblems(source: StatusSource): readonly ApiProblem[] {
  return source.health().problems.map((problem) => ({ ...problem, until: null }));
}

/** What waits to be uploaded. An outage began when its problem did. */
export function uploadSummary(source: StatusSource, api: ApiSource): ApiUploadSummary {
  const failing = source.health().problems.filter(({ part }) => part === "uploads");
  const since = Math.min(...failing.map((problem) => problem.since));
  return {
    waiting: source.pendingUploadCount(),
    oldestSince: api.uploads.oldestSince() ?? null,
    failingSince: failing.length === 0 ? null : since,
  };
}

/** Counts of reasons, those that no step has left out. */
export function reasonsOf(counts: ReasonCounts): ApiReasonCounts {
  return Object.fromEntries(Object.entries(counts).filter(([, count]) => count > 0));
}

/** Steps that only wait for room on a machine. */
export function readyIn({ machinesBusy, nextInLine }: ReasonCounts): number {
  return machinesBusy + nextInLine;
}

function systemRow(
  api: ApiSource,
  view: SystemView,
  machines: readonly MachineReport[],
  now: number,
): ApiSystem {
  const able = machines.filter((machine) => machine.view.info.systems.includes(view.system));
  const { oldest: drv } = view;
  const row = drv === undefined ? undefined : api.row(drv);
  return {
    system: view.system,
    slotsUsed: view.reasons.running,
    slots: able.reduce((sum, machine) => sum + machine.view.info.maxJobs, 0),
    ready: readyIn(view.reasons),
    reasons: reasonsOf(view.reasons),
    oldest:
      drv === undefined || row === undefined
        ? null
        : {
            drv,
            name: row.name,
            since: row.readySince,
            why: explanationWords(api.why(drv, 1), now),
          },
  };
}

/** Steps that ended in the last hour, and for how much of it that is known. */
function lastHour({ points, intervalMs }: ApiHistory): {
  readonly done: number;
  readonly failed: number;
  readonly ms: number;
} {
  const recent = points.slice(-Math.round(hourMs / intervalMs));
  const first = recent.findIndex(({ done, failed, slots }) => done + failed > 0 || slots !== null);
  return {
    done: recent.reduce((sum, point) => sum + point.done, 0),
    failed: recent.reduce((sum, point) => sum + point.failed, 0),
    ms: first < 0 ? 0 : (recent.length - first) * intervalMs,
  };
}

/** Makes the answer; what it had to ask the database for is remembered. */
export class Overview {
  readonly #source: StatusSource;
  readonly #api: ApiSource;
  readonly #numbers: TryNumbers;
  /** Why builds failed; empty: not recorded. */
  readonly #errors = new BoundedMap<number, string>({ capacity: 1_000 });

  constructor(source: StatusSource, api: ApiSource, numbers: TryNumbers) {
    this.#source = source;
    this.#api = api;
    this.#numbers = numbers;
  }

  async make(now: number, version: string): Promise<ApiOverview> {
    const [source, api] = [this.#source, this.#api];
    const { builds, steps } = source.counts();
    const reasons = source.reasonCounts();
    const machines = source.machines();
    const systems: ApiSystem[] = [];
    for (const view of api.systems()) systems.push(systemRow(api, view, machines, now));
    const known = new Set(systems.map(({ system }) => system));
    for (const system of new Set(machines.flatMap(({ view }) => view.info.systems))) {
      if (known.has(system)) continue;
      systems.push(systemRow(api, { system, reasons: noReasons, oldest: undefined }, machines, now));
    }
    const history = await api.history(historyHours);
    const hour = lastHour(history);
    const perHour = (count: number): number => (hour.ms === 0 ? 0 : Math.round((count * hourMs) / hour.ms));
    const donePerHour = perHour(hour.done);
    const { farmName, frontendUrl } = api.settings();
    return {
      now,
      version,
      ...apiState(source, api),
      farmName: farmName ?? null,
      frontendUrl: frontendUrl ?? null,
      problems: openProblems(source),
      counts: {
        builds,
        steps,
        running: reasons.running,
        ready: readyIn(reasons),
        waiting: Math.max(0, steps - reasons.running - readyIn(reasons)),
        slotsUsed: machines.reduce((sum, { view }) => sum + view.jobs, 0),
        slots: machines.reduce((sum, { view }) => sum + view.info.maxJobs, 0),
        machines: machines.length,
        donePerHour,
        failedPerHour: perHour(hour.failed),
      },
      reasons: reasonsOf(reasons),
      leftMs: steps === 0 ? 0 : donePerHour === 0 ? null : Math.round((steps / donePerHour) * hourMs),
      systems: systems.sort((a, b) => compareText(a.system, b.system)),
      history,
      runningNow: await runningSteps(source, api, this.#numbers, { now, limit: shownRows }),
      results: await this.#results(now),
      uploads: uploadSummary(source, api),
      skipped: source
        .skippedBuilds()
        .slice(0, shownRows)
        .map(({ id, reason, since }) => ({ build: id, reason, since })),
    };
  }

  async #results(now: number): Promise<ApiResult[]> {
    const isFresh = ({ status, finishedAt }: RecentBuild): boolean =>
      status !== succeeded && now - finishedAt < freshMs;
    const recent = this.#source.recentBuilds();
    const builds = [...recent.filter(isFresh), ...recent.filter((build) => !isFresh(build))].slice(
      0,
      shownRows,
    );
    const failed = builds.filter(({ status }) => status !== succeeded).map(({ id }) => id);
    await this.#learnErrors(failed.filter((id) => !this.#errors.has(id)));
    return builds.map((build) => ({
      build: build.id,
      project: build.project,
      jobset: build.jobset,
      job: build.job,
      drv: build.drvPath,
      status: build.status,
      result: resultWords(build.status),
      error: build.status === succeeded ? null : firstLine(this.#errors.get(build.id)),
      machine: build.machine ?? null,
      cached: build.cached,
      durationMs: build.durationMs,
      finishedAt: build.finishedAt,
    }));
  }

  async #learnErrors(builds: readonly number[]): Promise<void> {
    if (builds.length === 0) return;
    try {
      const errors = await this.#api.records.errors(builds);
      for (const id of builds) this.#errors.set(id, errors.get(id) ?? "");
    } catch {
      // The database is away; the page says so elsewhere.
    }
  }
}

function firstLine(text: string | undefined): string | null {
  const line = text?.trim().split("\n")[0] ?? "";
  return line === "" ? null : line;
}
