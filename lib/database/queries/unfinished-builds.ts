/** Builds that wait for their result. */
import { and, eq, inArray } from "drizzle-orm";
import { drizzleOn } from "../drizzle-session.js";
import { builds } from "../schema/builds.js";
import { jobsets } from "../schema/jobsets.js";
import type { Session, Transaction } from "../session.js";

/** A build that waits for its result. */
export interface UnfinishedBuild {
  readonly id: number;
  readonly jobsetId: number;
  readonly project: string;
  readonly jobset: string;
  readonly shares: number;
  readonly job: string;
  /** As in the row: not checked. */
  readonly drvPath: string;
  /** When the build was created. */
  readonly timestamp: number;
  /** Seconds; null means the runner's default. */
  readonly maxSilent: number | null;
  readonly timeout: number | null;
  readonly priority: number;
  /** 0, or when the build was bumped. */
  readonly globalPriority: number;
}

/** Builds that wait for their results, and the rows that cannot be used. */
export interface UnfinishedBuilds {
  readonly builds: readonly UnfinishedBuild[];
  /** Rows that cannot be used, and why. */
  readonly bad: readonly { readonly id: number; readonly reason: string }[];
}

/** What of an unfinished build others may change. */
export interface BuildDigest {
  readonly id: number;
  readonly globalPriority: number;
  readonly priority: number;
  readonly drvPath: string;
}

function fault(build: UnfinishedBuild): string | undefined {
  if (!/^\/.+\.drv$/.test(build.drvPath))
    return `drvPath ${JSON.stringify(build.drvPath)} names no derivation`;
  if (build.shares <= 0)
    return `jobset ${build.project}:${build.jobset} has ${build.shares} scheduling shares`;
  return undefined;
}

/** All unfinished builds, or those with the ids. */
export async function unfinishedBuilds(
  session: Session,
  ids: readonly number[] | undefined,
): Promise<UnfinishedBuilds> {
  if (ids?.length === 0) return { builds: [], bad: [] };
  const unfinished = eq(builds.finished, 0);
  const rows: UnfinishedBuild[] = await drizzleOn(session)
    .select({
      id: builds.id,
      jobsetId: builds.jobsetId,
      project: jobsets.project,
      jobset: jobsets.name,
      shares: jobsets.schedulingShares,
      job: builds.job,
      drvPath: builds.drvPath,
      timestamp: builds.timestamp,
      maxSilent: builds.maxSilent,
      timeout: builds.timeout,
      priority: builds.priority,
      globalPriority: builds.globalPriority,
    })
    .from(builds)
    .innerJoin(jobsets, eq(jobsets.id, builds.jobsetId))
    .where(ids === undefined ? unfinished : and(unfinished, inArray(builds.id, [...ids])))
    .orderBy(builds.id);
  const usable: UnfinishedBuild[] = [];
  const bad: { id: number; reason: string }[] = [];
  for (const row of rows) {
    const reason = fault(row);
    if (reason === undefined) usable.push(row);
    else bad.push({ id: row.id, reason });
  }
  return { builds: usable, bad };
}

/** Rows of one answer: few enough that taking them in does not hold up anything else. */
const digestPart = 2_000;

/** The most urgent ones first. */
export async function unfinishedBuildDigest(transaction: Transaction): Promise<BuildDigest[]> {
  await transaction.query(
    `DECLARE digest NO SCROLL CURSOR FOR
       SELECT id, globalpriority AS "globalPriority", priority, drvpath AS "drvPath"
         FROM builds WHERE finished = 0 ORDER BY globalpriority DESC, priority DESC, id`,
  );
  const digest: BuildDigest[] = [];
  for (;;) {
    const { rows } = await transaction.query<BuildDigest>(`FETCH ${digestPart} FROM digest`);
    for (const row of rows) digest.push(row);
    if (rows.length < digestPart) return digest;
  }
}
