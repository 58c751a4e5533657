/** What the runner asks the simulated database, answered from its tables. */
import type { EarlierTries, UnfinishedBuild } from "../../database/index.js";
import { givenBackMessage, machineLeftMessage, stepStatus } from "../../database/index.js";
import type { StepRow, Tables } from "./tables.js";

/** A jobset of the simulated database. */
export interface SimulatedJobset {
  readonly id: number;
  readonly project: string;
  readonly name: string;
  shares: number;
}

/** Seconds without output, and in all, that a build may take. */
export interface BuildLimits {
  readonly maxSilent: number;
  readonly timeout: number;
}

/** With what is needed to schedule them; all, or those with the ids. */
export function unfinishedBuilds(
  tables: Tables,
  jobsets: readonly SimulatedJobset[],
  limits: BuildLimits,
  ids: readonly number[] | undefined,
): UnfinishedBuild[] {
  return [...tables.builds.values()]
    .filter((row) => !row.finished && (ids === undefined || ids.includes(row.id)))
    .map((row) => {
      const jobset = jobsets.find(({ id }) => id === row.jobset);
      return {
        id: row.id,
        jobsetId: row.jobset,
        project: jobset?.project ?? "project",
        jobset: jobset?.name ?? `jobset${row.jobset}`,
        shares: jobset?.shares ?? 100,
        job: row.job,
        drvPath: row.drvPath,
        timestamp: row.timestamp,
        ...limits,
        priority: row.priority,
        globalPriority: row.globalPriority,
      };
    });
}

/** What ran for each jobset since then, in seconds since the epoch. */
export function jobsetUsage(
  tables: Tables,
  ids: readonly number[],
  since: number,
): Map<number, { startTime: number; stopTime: number }[]> {
  const usage = new Map<number, { startTime: number; stopTime: number }[]>();
  for (const { build, startTime, stopTime } of tables.steps.values()) {
    const jobset = tables.builds.get(build)?.jobset ?? 0;
    if (!ids.includes(jobset) || startTime === undefined || stopTime === undefined || stopTime <= since) {
      continue;
    }
    usage.set(jobset, [...(usage.get(jobset) ?? []), { startTime, stopTime }]);
  }
  return usage;
}

/** Of these derivations, for builds that are not finished: what was tried before. */
export function earlierTries(tables: Tables, drvPaths: readonly string[]): Map<string, EarlierTries> {
  const found = new Map<string, EarlierTries>();
  for (const drvPath of new Set(drvPaths)) {
    const rows = [...tables.steps.values()].filter((row) => row.drvPath === drvPath && isTry(tables, row));
    if (rows.length === 0) continue;
    const orphaned = rows.filter((row) => row.stopTime === 0);
    const givenBack = rows.filter((row) => row.error === givenBackMessage);
    const tries = rows.filter(
      (row) => !orphaned.includes(row) && !givenBack.includes(row) && row.error !== machineLeftMessage,
    );
    found.set(drvPath, {
      tries: tries.length,
      endedAt: latest(tries),
      givenBackAt: latest(givenBack),
      orphaned: orphaned.length > 0,
    });
  }
  return found;
}

function isTry(tables: Tables, row: StepRow): boolean {
  const build = tables.builds.get(row.build);
  const stopTime = row.stopTime ?? -1;
  return (
    row.status === stepStatus.aborted &&
    row.type === 0 &&
    row.busy === 0 &&
    row.propagatedFrom === undefined &&
    build?.finished === false &&
    (stopTime === 0 || stopTime > (build.stopTime ?? 0))
  );
}

/** The newest path for each link of a chain. */
export function followOutputs(
  tables: Tables,
  drvPath: string,
  outputs: readonly string[],
  storeDir: string,
): string | undefined {
  let current: string | undefined = drvPath;
  for (const name of outputs)
    current = current === undefined ? undefined : link(tables, current, name, storeDir);
  return current;
}

function link(tables: Tables, drvPath: string, name: string, storeDir: string): string | undefined {
  const rows = [...tables.steps.values()].sort((a, b) => b.build - a.build || b.stepnr - a.stepnr);
  for (const row of rows) {
    if (
      row.drvPath !== drvPath ||
      (row.status !== stepStatus.succeeded && row.status !== stepStatus.resolved)
    )
      continue;
    const resolved = rows.find(
      (other) =>
        row.status === stepStatus.resolved &&
        other.status === stepStatus.succeeded &&
        other.drvPath === `${storeDir}/${row.resolvedDrvPath}`,
    );
    const path = resolved?.outputs.get(name) ?? row.outputs.get(name);
    if (path !== undefined) return path;
  }
  return undefined;
}

function latest(rows: readonly StepRow[]): number | undefined {
  return rows.length === 0 ? undefined : Math.max(...rows.map((row) => row.stopTime ?? 0));
}
