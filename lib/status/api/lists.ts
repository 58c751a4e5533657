/** Shorter answers: jobsets, uploads, problems, what ran where, and the search. */
import { compareText } from "../answers/encoding.js";
import { namedMachines } from "../answers/machine-names.js";
import type { StatusSource } from "../types.js";
import { machineState } from "./machines.js";
import { openProblems, uploadSummary } from "./overview.js";
import { forEachSliced } from "./slices.js";
import type { ApiSource, AttemptQuestion, NamedBuild } from "./source.js";
import { apiAttempt, derivationName } from "./timeline.js";
import type { ApiHit, ApiJobsets, ApiProblems, ApiSearch, ApiTimeline, ApiUploads } from "./types.js";

const shownPaths = 100;
const shownHits = 20;
const timelineAttempts = 5_000;
/** The trigram index needs so many characters. */
const shortestDerivation = 3;

/** `GET /api/jobsets`, by name. */
export function jobsetsAnswer(
  source: StatusSource,
  api: ApiSource,
  ready: ReadonlyMap<string, number>,
  now: number,
): ApiJobsets {
  const jobsets = source.jobsets();
  const shares = jobsets.reduce((sum, { shares: own }) => sum + Math.max(0, own), 0);
  const seconds = jobsets.reduce((sum, { seconds: own }) => sum + own, 0);
  const running = new Map<string, number>();
  for (const { build } of source.attempts()) {
    const key = keyOf(api.queuedBuild(build));
    running.set(key, (running.get(key) ?? 0) + 1);
  }
  const oldest = new Map<number, number>();
  for (const { jobset, timestamp } of source.builds()) {
    oldest.set(jobset, Math.min(oldest.get(jobset) ?? Number.POSITIVE_INFINITY, timestamp * 1000));
  }
  return {
    now,
    jobsets: jobsets
      .map((jobset) => ({
        project: jobset.project,
        name: jobset.name,
        shares: jobset.shares,
        asked: shares === 0 ? 0 : Math.max(0, jobset.shares) / shares,
        got: seconds === 0 ? 0 : jobset.seconds / seconds,
        usedMs: Math.round(jobset.seconds * 1000),
        builds: jobset.unfinishedBuilds,
        ready: ready.get(keyOf({ project: jobset.project, jobset: jobset.name })) ?? 0,
        running: running.get(keyOf({ project: jobset.project, jobset: jobset.name })) ?? 0,
        oldestSince: oldest.get(jobset.id) ?? null,
      }))
      .sort((a, b) => compareText(keyOf({ ...a, jobset: a.name }), keyOf({ ...b, jobset: b.name }))),
  };
}

function keyOf(jobset: Pick<NamedBuild, "project" | "jobset"> | undefined): string {
  return jobset === undefined ? "" : `${jobset.project}:${jobset.jobset}`;
}

const minuteMs = 60_000;

/** How fast caches get bytes, from what they had got when it was asked before. */
export class Traffic {
  #samples: { readonly at: number; readonly bytes: ReadonlyMap<string, number> }[] = [];

  /** Bytes per second over the last minute, by cache; absent where it was not asked for a while. */
  rates(source: StatusSource, now: number): ReadonlyMap<string, number> {
    const bytes = new Map(source.remoteStores().map(({ name, putBytes }) => [name, putBytes]));
    this.#samples = this.#samples.filter(({ at }) => at >= now - minuteMs);
    const [first] = this.#samples;
    if ((this.#samples.at(-1)?.at ?? 0) < now - 500) this.#samples.push({ at: now, bytes });
    const rates = new Map<string, number>();
    if (first === undefined || first.at >= now) return rates;
    for (const [name, total] of bytes) {
      const before = first.bytes.get(name);
      if (before !== undefined) rates.set(name, Math.round(((total - before) * 1000) / (now - first.at)));
    }
    return rates;
  }
}

/** `GET /api/uploads`. */
export function uploadsAnswer(
  source: StatusSource,
  api: ApiSource,
  traffic: Traffic,
  now: number,
): ApiUploads {
  const rates = traffic.rates(source, now);
  const failing = source.health().problems.filter(({ part }) => part === "uploads");
  return {
    now,
    ...uploadSummary(source, api),
    paths: api.uploads.paths(shownPaths),
    caches: source.remoteStores().map(({ name, puts, putBytes }) => {
      const problem = failing.find(({ subject }) => subject === name);
      return {
        name,
        puts,
        putBytes,
        bytesPerSecond: rates.get(name) ?? null,
        failingSince: problem?.since ?? null,
        error: problem?.reason ?? null,
      };
    }),
  };
}

/** `GET /api/problems`. */
export function problemsAnswer(source: StatusSource, api: ApiSource, now: number): ApiProblems {
  return { now, problems: [...openProblems(source), ...api.endedProblems()] };
}

/** Which span of time is shown, and of which build. */
export type TimelineQuestion = Omit<AttemptQuestion, "limit" | "machine">;

/** `GET /api/timeline`. */
export async function timelineAnswer(
  source: StatusSource,
  api: ApiSource,
  question: TimelineQuestion,
  now: number,
): Promise<ApiTimeline> {
  const records = await api.records.attempts({ ...question, limit: timelineAttempts });
  const slots = new Map(
    [...namedMachines(source.machines())].map(([name, { view }]) => [name, view.info.maxJobs]),
  );
  for (const { machine } of records) if (!slots.has(machine)) slots.set(machine, 0);
  return {
    now,
    from: question.from,
    to: question.to,
    machines: [...slots]
      .map(([name, count]) => ({ name, slots: count }))
      .sort((a, b) => compareText(a.name, b.name)),
    attempts: records.map(apiAttempt).sort((a, b) => a.startedAt - b.startedAt),
    truncated: records.length >= timelineAttempts,
  };
}

/** `GET /api/search`: exact ids first, then machines and jobsets, what is in the queue, and older builds. */
export async function searchAnswer(
  source: StatusSource,
  api: ApiSource,
  text: string,
  now: number,
): Promise<ApiSearch> {
  const wanted = text.toLowerCase().replace(/^.*\/([0-9a-z]{32}-)/, "$1");
  const hits = new Map<string, ApiHit>();
  const add = (hit: ApiHit): void => {
    if (hits.size < shownHits) hits.set(`${hit.kind} ${hit.id}`, hit);
  };
  const found = (...names: readonly string[]): boolean =>
    names.some((name) => name.toLowerCase().includes(wanted));
  if (/^\d{1,9}$/.test(wanted)) {
    const id = Number(wanted);
    const build = api.queuedBuild(id) ?? (await api.records.build(id));
    if (build !== undefined) add(buildHit(build));
  }
  for (const [name, { view }] of namedMachines(source.machines())) {
    if (found(name) || view.info.id.startsWith(wanted)) {
      add({ kind: "machine", id: name, title: name, detail: machineState(view, now).words });
    }
  }
  for (const { project, name, unfinishedBuilds } of source.jobsets()) {
    const id = `${project}:${name}`;
    if (found(id)) add({ kind: "jobset", id, title: id, detail: `${unfinishedBuilds} builds in the queue` });
  }
  for (const build of api.queuedBuilds()) {
    if (hits.size >= shownHits) break;
    if (found(build.job, build.drv)) add(buildHit(build));
  }
  if (hits.size < shownHits) {
    await forEachSliced(api.rows(), ({ id, system }) => {
      if (hits.size < shownHits && id.toLowerCase().includes(wanted)) {
        add({ kind: "step", id, title: derivationName(id), detail: system });
      }
    });
  }
  if (hits.size < shownHits && wanted.length >= shortestDerivation) {
    for (const build of await api.records.findBuilds(wanted, shownHits)) add(buildHit(build));
  }
  return { hits: [...hits.values()] };
}

function buildHit({ id, project, jobset, job, drv }: NamedBuild): ApiHit {
  return { kind: "build", id: String(id), title: `${project}:${jobset}:${job}`, detail: derivationName(drv) };
}
