/** `GET /api/builds/{id}` and `GET /api/steps/{drv}`: what became of it, or what holds it up. */
import { blockWords, count, explanationWords, resultWords, spanWords, succeeded } from "../answers/words.js";
import { StatusError } from "../errors.js";
import type { StatusSource } from "../types.js";
import { blockersOf, graphOf, stateOf, type Walk, walk } from "./graph.js";
import { matchLogs, triesKept } from "./logs.js";
import { usualMs } from "./running.js";
import type { ApiSource, AttemptRecord, BuildRecord, EndedStepRecord, LogRecord } from "./source.js";
import { derivationName } from "./timeline.js";
import type {
  ApiBlocker,
  ApiBuild,
  ApiGraph,
  ApiOutput,
  ApiReason,
  ApiStep,
  ApiStepState,
  ApiTry,
} from "./types.js";

const shownFailures = 20;
const shownSteps = 200;
const shownBuilds = 50;

/** Tries with their logs, oldest first. */
function triesOf(attempts: readonly AttemptRecord[], logs: readonly LogRecord[]): ApiTry[] {
  const byTry = matchLogs(attempts, logs);
  return [...attempts]
    .sort((a, b) => a.try - b.try)
    .map((attempt) => ({
      try: attempt.try,
      machine: attempt.machine,
      startedAt: attempt.startedAt,
      stoppedAt: attempt.stoppedAt ?? null,
      status: attempt.status ?? null,
      result: attempt.status === undefined ? "running" : resultWords(attempt.status),
      error: attempt.error ?? null,
      hasLog: byTry.has(attempt.try),
      cost: attempt.cost ?? null,
    }));
}

async function recordedTries(api: ApiSource, drv: string): Promise<ApiTry[]> {
  const [attempts, logs] = await Promise.all([api.records.tries(drv, triesKept), api.logs.list(drv)]);
  return triesOf(attempts, logs);
}

function endedState({ status }: { readonly status: number }): ApiStepState {
  switch (status) {
    case 0:
    case 13:
      return "succeeded";
    case 4:
      return "cancelled";
    case 9:
      return "unsupported";
    default:
      return "failed";
  }
}

function outputsOf(outputs: BuildRecord["outputs"]): ApiOutput[] {
  return outputs.map(({ name, path }) => ({ name, path: path ?? null }));
}

/** Steps of a build that has ended; which needed which is not recorded. */
function endedGraph(steps: readonly EndedStepRecord[]): ApiGraph {
  return {
    nodes: steps.map((step) => ({
      id: step.drv,
      name: derivationName(step.drv),
      state: endedState(step),
      count: 1,
      machine: step.machine === "" ? null : step.machine,
      startedAt: step.startedAt ?? null,
      durationMs:
        step.startedAt === undefined || step.stoppedAt === undefined ? null : step.stoppedAt - step.startedAt,
      critical: false,
    })),
    edges: [],
    steps: steps.length,
    truncated: steps.length >= shownSteps,
  };
}

function waitingWords(blockers: readonly ApiBlocker[], steps: ApiBuild["steps"], now: number): string {
  const left = steps.total - steps.done;
  const [first] = blockers;
  if (first === undefined) return "waits to be taken in";
  const head =
    left === 1 ? "" : `waits for ${left.toLocaleString("en")} of ${count(steps.total, "step", "steps")}; `;
  if (first.state !== "running") return `${head}${first.name}: ${first.why}`;
  const ran = first.startedAt === null ? "" : ` for ${spanWords(now - first.startedAt)}`;
  const usual = first.usualMs === null ? "" : ` (usually ${spanWords(first.usualMs)})`;
  return `${head}${first.name} builds on ${first.machine ?? "a machine"}${ran}${usual}`;
}

function endedWords(build: BuildRecord, error: string | undefined): string {
  const result = resultWords(build.status ?? -1);
  const span =
    build.startedAt === undefined || build.stoppedAt === undefined || build.cached
      ? ""
      : ` after ${spanWords(build.stoppedAt - build.startedAt)}`;
  const from = build.cached ? ", as it was known already" : span;
  const because = build.status === succeeded || error === undefined ? "" : `: ${error.split("\n")[0]}`;
  return `${result}${from}${because}`;
}

function shareOf(source: StatusSource, { project, jobset }: BuildRecord): ApiBuild["share"] {
  const jobsets = source.jobsets();
  const found = jobsets.find((one) => one.project === project && one.name === jobset);
  if (found === undefined) return null;
  const shares = jobsets.reduce((sum, one) => sum + Math.max(0, one.shares), 0);
  const seconds = jobsets.reduce((sum, one) => sum + one.seconds, 0);
  return {
    asked: shares === 0 ? 0 : Math.max(0, found.shares) / shares,
    got: seconds === 0 ? 0 : found.seconds / seconds,
  };
}

/** @throws StatusError `not-found` */
export async function buildAnswer(
  source: StatusSource,
  api: ApiSource,
  id: number,
  now: number,
): Promise<ApiBuild> {
  const build = await api.records.build(id);
  if (build === undefined) throw new StatusError("not-found", `build ${id} does not exist`);
  const [tries, ended, errors] = await Promise.all([
    recordedTries(api, build.drv),
    api.records.endedSteps(id, shownSteps),
    api.records.errors([id]),
  ]);
  const row = build.finished ? undefined : api.row(build.drv);
  const below: Walk =
    row === undefined ? { nodes: new Map(), truncated: false } : await walk(api, build.drv, now);
  const done = ended.filter((step) => endedState(step) === "succeeded").length;
  const failed = ended.filter((step) => endedState(step) === "failed" && !below.nodes.has(step.drv));
  const running = [...below.nodes.values()].filter((node) => node.row.reason === "running").length;
  const steps = { total: below.nodes.size + done + failed.length, done, running, failed: failed.length };
  const blockedBy = blockersOf(source, api, below, now);
  const error = errors.get(id);
  const { frontendUrl } = api.settings();
  return {
    now,
    id,
    project: build.project,
    jobset: build.jobset,
    job: build.job,
    drv: build.drv,
    name: derivationName(build.drv),
    system: build.system,
    finished: build.finished,
    status: build.status ?? null,
    words: build.finished ? endedWords(build, error) : waitingWords(blockedBy, steps, now),
    error: build.finished && build.status !== succeeded ? (error ?? null) : null,
    priority: build.priority,
    globalPriority: build.globalPriority,
    queuedAt: build.queuedAt,
    startedAt: build.startedAt ?? null,
    stoppedAt: build.stoppedAt ?? null,
    usualMs: row === undefined ? null : usualMs(api, row),
    steps,
    tries,
    failures: await failuresOf(api, failed),
    blockedBy,
    graph: row === undefined ? endedGraph(ended) : graphOf(source, below, now, done),
    outputs: outputsOf(build.outputs),
    products: build.products.map(({ size, ...product }) => ({ ...product, size: size ?? null })),
    url: frontendUrl === undefined ? null : `${frontendUrl}/build/${id}`,
    share: shareOf(source, build),
  };
}

async function failuresOf(api: ApiSource, failed: readonly EndedStepRecord[]): Promise<ApiBuild["failures"]> {
  const failures: ApiBuild["failures"][number][] = [];
  for (const { drv } of failed.slice(0, shownFailures)) {
    const last = (await recordedTries(api, drv)).at(-1);
    if (last !== undefined) failures.push({ drv, name: derivationName(drv), try: last });
  }
  return failures;
}

/** @throws StatusError `not-found` for a derivation that neither the queue nor the database knows */
export async function stepAnswer(
  source: StatusSource,
  api: ApiSource,
  drv: string,
  now: number,
): Promise<ApiStep> {
  const row = api.row(drv);
  const [why, tries, outputs] = await Promise.all([
    source.whyNotRunning(drv),
    recordedTries(api, drv),
    api.records.outputs(drv),
  ]);
  if (why.code === "unknown" && tries.length === 0) throw new StatusError("not-found", "no such step");
  const below: Walk = row === undefined ? { nodes: new Map(), truncated: false } : await walk(api, drv, now);
  const last = tries.at(-1);
  const ended = why.code === "finished" ? why.status : (last?.status ?? undefined);
  const state: ApiStepState =
    row !== undefined ? stateOf(row.reason) : ended === undefined ? "unknown" : endedState({ status: ended });
  const reason: ApiReason | null = row?.reason ?? null;
  const blockers = blockersOf(source, api, below, now).filter((blocker) => blocker.drv !== row?.id);
  return {
    now,
    drv,
    name: row?.name ?? derivationName(drv),
    system: row?.system ?? null,
    features: row?.features ?? [],
    state,
    words:
      row === undefined && ended !== undefined ? endedStepWords(ended, last) : explanationWords(why, now),
    reason,
    machines:
      why.code === "machinesBusy"
        ? why.machines.map(({ hostname, block }) => ({ machine: hostname, why: blockWords(block, now) }))
        : [],
    builds: wantedBy(api, drv, row?.lowestBuild),
    tries,
    usualMs: row === undefined ? null : usualMs(api, row),
    startedAt: row?.startedAt ?? null,
    blockedBy: blockers,
    graph: graphOf(source, below, now, 0),
    outputs: outputsOf(outputs),
  };
}

function endedStepWords(status: number, last: ApiTry | undefined): string {
  const machine = last?.machine === null || last === undefined ? "" : ` on ${last.machine}`;
  const span =
    last?.startedAt === undefined || last.startedAt === null || last.stoppedAt === null
      ? ""
      : ` after ${spanWords(last.stoppedAt - last.startedAt)}`;
  const because =
    status === succeeded || last?.error === null || last === undefined
      ? ""
      : `: ${last.error.split("\n")[0]}`;
  return `${resultWords(status)}${machine}${span}${because}`;
}

/** Builds of the queue whose own step it is, or else the oldest that needs it. */
function wantedBy(api: ApiSource, drv: string, lowest: number | undefined): ApiStep["builds"] {
  const builds = [...api.queuedBuilds()].filter((build) => build.drv === drv).slice(0, shownBuilds);
  const needs = lowest === undefined ? undefined : api.queuedBuild(lowest);
  if (needs !== undefined && !builds.some(({ id }) => id === needs.id)) builds.push(needs);
  return builds.map(({ id, job, project, jobset }) => ({ id, job, jobset: `${project}:${jobset}` }));
}
