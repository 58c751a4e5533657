/** Builds that wait for their result. */
import { prepared } from "../prepared.js";
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

const columns = `
  SELECT b.id, b.jobset_id AS "jobsetId", j.project, j.name AS jobset, j.schedulingshares AS shares, b.job,
         b.drvpath AS "drvPath", b.timestamp, b.maxsilent AS "maxSilent", b.timeout, b.priority,
         b.globalpriority AS "globalPriority"
    FROM builds b JOIN jobsets j ON j.id = b.jobset_id`;
const all = `${columns} WHERE b.finished = 0 ORDER BY b.id`;
// Not by the index of unfinished builds, however short the queue was when this was planned.
const byId = prepared(`${columns} WHERE b.finished + 0 = 0 AND b.id = ANY($1::int[]) ORDER BY b.id`);

/** All unfinished builds, or those with the ids. */
export async function unfinishedBuilds(
  session: Session,
  ids: readonly number[] | undefined,
): Promise<UnfinishedBuilds> {
  if (ids?.length === 0) return { builds: [], bad: [] };
  const { rows } =
    ids === undefined
      ? await session.query<UnfinishedBuild>(all)
      : await session.query<UnfinishedBuild>(byId, [ids]);
  const usable: UnfinishedBuild[] = [];
  const bad: { id: number; reason: string }[] = [];
  for (const row of rows) {
    const reason = fault(row);
    if (reason === undefined) usable.push(row);
    else bad.push({ id: row.id, reason });
  }
  return { builds: usable, bad };
}

/** A queue of more rows is long. */
const shortQueue = 2_000;
/** Rows of one answer of a long queue: few enough that taking them in does not hold up anything else. */
const digestPart = 1_000;

const digest = `
  SELECT id, globalpriority AS "globalPriority", priority, drvpath AS "drvPath"
    FROM builds WHERE finished = 0 ORDER BY globalpriority DESC, priority DESC, id`;

const shortDigest = prepared(`${digest} LIMIT ${shortQueue + 1}`);

/** As `unfinishedBuildDigest`, in one statement; undefined when there are too many for that. */
export async function shortBuildDigest(session: Session): Promise<BuildDigest[] | undefined> {
  const { rows } = await session.query<BuildDigest>(shortDigest);
  return rows.length > shortQueue ? undefined : [...rows];
}

/** The most urgent ones first. */
export async function unfinishedBuildDigest(transaction: Transaction): Promise<BuildDigest[]> {
  await transaction.query(`DECLARE digest NO SCROLL CURSOR FOR ${digest}`);
  const builds: BuildDigest[] = [];
  for (;;) {
    const { rows } = await transaction.query<BuildDigest>(`FETCH ${digestPart} FROM digest`);
    for (const row of rows) builds.push(row);
    if (rows.length < digestPart) return builds;
  }
}
