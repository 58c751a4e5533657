/** What the routes below `/api/` ask the database: its rows, with the times and names that the API has. */
import { basename } from "node:path";
import { pause } from "../../async/index.js";
import type { HydraDatabase } from "../../database/index.js";
import type { AttemptRow, BuildPageRow, NamedBuildRow, OutputRow } from "../../database/queries/page-rows.js";
import type { StepResourcesRow } from "../../database/recording/index.js";
import type { StoreDir } from "../../nix/path/store-path.js";
import {
  type ApiRecords,
  type AttemptRecord,
  type BuildRecord,
  type NamedBuild,
  StatusError,
} from "../../status/index.js";

/** Pages do not wait longer for a database that is silent, in milliseconds. */
const patienceMs = 5_000;

/** What the questions are asked of. */
export interface ApiRecordsOptions {
  readonly database: HydraDatabase;
  readonly storeDir: StoreDir;
  /** The database is known not to answer: it is not asked. */
  readonly isAway: () => boolean;
}

/**
 * Questions to the database. Derivations are base names here and full paths there. Each rejects with `StatusError`
 * `unavailable` when the database does not answer soon.
 */
export function apiRecords(options: ApiRecordsOptions): ApiRecords {
  const asked = questions(options);
  const soon = <T>(ask: () => Promise<T>): Promise<T> => answeredSoon(options.isAway() ? undefined : ask());
  return {
    attempts: (question) => soon(() => asked.attempts(question)),
    tries: (drv, limit) => soon(() => asked.tries(drv, limit)),
    build: (id) => soon(() => asked.build(id)),
    endedSteps: (build, limit) => soon(() => asked.endedSteps(build, limit)),
    outputs: (drv) => soon(() => asked.outputs(drv)),
    findBuilds: (text, limit) => soon(() => asked.findBuilds(text, limit)),
    tryCounts: (drvs) => soon(() => asked.tryCounts(drvs)),
    errors: (builds) => soon(() => asked.errors(builds)),
  };
}

/** @throws StatusError `unavailable` without an answer in time; undefined: none is to be expected */
export async function answeredSoon<T>(answer: Promise<T> | undefined): Promise<T> {
  const answered = new AbortController();
  const silence = pause(answer === undefined ? 0 : patienceMs, { signal: answered.signal, ref: false }).then(
    () => {
      throw new StatusError("unavailable", "the database does not answer; ask again later");
    },
  );
  try {
    return await Promise.race(answer === undefined ? [silence] : [answer, silence]);
  } finally {
    silence.catch(() => undefined);
    answered.abort();
  }
}

function questions({ database, storeDir }: ApiRecordsOptions): ApiRecords {
  const fullPath = (drv: string): string => `${storeDir}/${drv}`;
  return {
    attempts: async ({ from, to, ...rest }) => {
      const range = { from: Math.floor(from / 1000), to: Math.ceil(to / 1000), ...rest };
      return (await database.attempts(range)).map(attemptRecord);
    },
    tries: async (drv, limit) => {
      const rows = await database.attemptsAt(fullPath(drv), limit);
      const used = await database.stepResources(rows);
      const costs = new Map(used.map((row) => [`${row.build}/${row.stepNumber}`, cost(row)]));
      return rows.map((row) => ({
        ...attemptRecord(row),
        cost: costs.get(`${row.build}/${row.stepNumber}`),
      }));
    },
    build: async (id) => {
      const row = await database.buildPage(id);
      return row === undefined ? undefined : buildRecord(row);
    },
    endedSteps: async (build, limit) => {
      const rows = await database.stepsOfBuild(build, limit);
      return rows.map(({ drvPath, status, machine, startTime, stopTime, error }) => ({
        drv: basename(drvPath),
        status,
        machine,
        startedAt: time(startTime),
        stoppedAt: time(stopTime),
        error: text(error),
      }));
    },
    outputs: async (drv) => outputs(await database.stepOutputs(fullPath(drv))),
    findBuilds: async (part, limit) => (await database.findBuilds(part, limit)).map(named),
    tryCounts: async (drvs) => {
      const counts = await database.attemptCounts(drvs.map(fullPath));
      return new Map([...counts].map(([path, tries]) => [basename(path), tries]));
    },
    errors: (builds) => database.buildErrors(builds),
  };
}

function cost(row: StepResourcesRow): NonNullable<AttemptRecord["cost"]> {
  const { source, cpuUserMs, cpuSystemMs, peakMemory, readBytes, writtenBytes, outputBytes } = row;
  return { source, cpuUserMs, cpuSystemMs, peakMemory, readBytes, writtenBytes, outputBytes };
}

function attemptRecord(row: AttemptRow): AttemptRecord {
  return {
    drv: basename(row.drvPath),
    build: row.build,
    job: row.job,
    try: row.try,
    machine: row.machine,
    system: text(row.system),
    startedAt: row.startTime * 1000,
    stoppedAt: time(row.stopTime),
    status: row.status ?? undefined,
    error: text(row.error),
  };
}

function named({ id, project, jobset, job, drvPath }: NamedBuildRow): NamedBuild {
  return { id, project, jobset, job, drv: basename(drvPath) };
}

function buildRecord(row: BuildPageRow): BuildRecord {
  return {
    ...named(row),
    system: row.system,
    finished: row.finished !== 0,
    status: row.status ?? undefined,
    cached: row.cached === 1,
    priority: row.priority,
    globalPriority: row.globalPriority,
    queuedAt: row.queuedAt * 1000,
    startedAt: time(row.startTime),
    stoppedAt: time(row.stopTime),
    outputs: outputs(row.outputs),
    products: row.products.map(({ path, size, ...product }) => ({
      ...product,
      path: path ?? "",
      size: size ?? undefined,
    })),
  };
}

function outputs(rows: readonly OutputRow[]): BuildRecord["outputs"] {
  return rows.map(({ name, path }) => ({ name, path: path ?? undefined }));
}

/** Unix seconds; 0 and null stand for "not known". */
function time(seconds: number | null): number | undefined {
  return seconds === null || seconds === 0 ? undefined : seconds * 1000;
}

function text(value: string | null): string | undefined {
  return value === null || value === "" ? undefined : value;
}
