/** What an earlier build recorded about outputs that exist already. */
import { asc, eq } from "drizzle-orm";
import { isStorePath, type StorePath } from "../../nix/path/store-path.js";
import { drizzleOn } from "../drizzle-session.js";
import { buildMetrics, buildProducts, builds } from "../schema/builds.js";
import type { Session } from "../session.js";
import { buildStatus, type SuccessStatus } from "../status-numbers.js";

/** A build product of an earlier build. */
export interface EarlierProduct {
  readonly type: string;
  readonly subtype: string;
  /** Store path the product lies in. */
  readonly storePath: StorePath;
  /** Path below it, without leading slash; empty for the store path itself. */
  readonly subPath: string;
  readonly name: string;
  readonly defaultPath: string;
  readonly isRegular: boolean;
  /** 64 lower-case hex digits. */
  readonly sha256: string | undefined;
  readonly fileSize: number | undefined;
}

/** A metric of an earlier build. */
export interface EarlierMetric {
  readonly name: string;
  readonly unit: string | undefined;
  readonly value: number;
}

/** A successful build whose results can be copied. */
export interface EarlierBuild {
  readonly id: number;
  readonly status: SuccessStatus;
  readonly size: number;
  readonly closureSize: number;
  readonly releaseName: string | undefined;
  readonly products: readonly EarlierProduct[];
  readonly metrics: readonly EarlierMetric[];
}

const withOutputs: readonly SuccessStatus[] = [buildStatus.succeeded, buildStatus.failedWithOutput];

/** The successful build that has the most of the outputs, the newest of several. */
export async function earlierBuildOfOutputs(
  session: Session,
  paths: readonly string[],
  storeDir: string,
): Promise<EarlierBuild | undefined> {
  if (paths.length === 0) return undefined;
  const found = await session.query<{ id: number }>(
    "SELECT b.id FROM buildoutputs o JOIN builds b ON b.id = o.build" +
      ` WHERE o.path = ANY($1::text[]) AND b.finished = 1 AND b.buildstatus IN (${withOutputs.join(", ")})` +
      " GROUP BY b.id ORDER BY count(*) DESC, b.id DESC LIMIT 1",
    [paths],
  );
  const id = found.rows[0]?.id;
  if (id === undefined) return undefined;
  const db = drizzleOn(session);
  const [build] = await db
    .select({
      status: builds.buildStatus,
      size: builds.size,
      closureSize: builds.closureSize,
      releaseName: builds.releaseName,
    })
    .from(builds)
    .where(eq(builds.id, id));
  // Deleted in between.
  if (build === undefined) return undefined;
  const products = await db
    .select()
    .from(buildProducts)
    .where(eq(buildProducts.build, id))
    .orderBy(asc(buildProducts.productNr));
  const metrics = await db
    .select()
    .from(buildMetrics)
    .where(eq(buildMetrics.build, id))
    .orderBy(asc(buildMetrics.name));
  return {
    id,
    status:
      build.status === buildStatus.failedWithOutput ? buildStatus.failedWithOutput : buildStatus.succeeded,
    size: build.size ?? 0,
    closureSize: build.closureSize ?? 0,
    releaseName: build.releaseName ?? undefined,
    products: products.flatMap((row) => product(row, storeDir)),
    metrics: metrics.map((row) => ({ name: row.name, unit: row.unit ?? undefined, value: row.value })),
  };
}

/** Nothing for a product that is not in the store: one odd row must not keep a build from finishing. */
function product(row: typeof buildProducts.$inferSelect, storeDir: string): EarlierProduct[] {
  if (row.path === null || !row.path.startsWith(`${storeDir}/`)) return [];
  const inside = row.path.slice(storeDir.length + 1);
  const slash = inside.indexOf("/");
  const storePath = slash < 0 ? inside : inside.slice(0, slash);
  if (!isStorePath(storePath)) return [];
  const sha256 =
    row.sha256Hash !== null && /^[0-9a-f]{64}$/.test(row.sha256Hash) ? row.sha256Hash : undefined;
  return [
    {
      type: row.type,
      subtype: row.subtype,
      storePath,
      subPath: slash < 0 ? "" : inside.slice(slash + 1),
      name: row.name,
      defaultPath: row.defaultPath ?? "",
      isRegular: row.fileSize !== null,
      sha256,
      fileSize: row.fileSize ?? undefined,
    },
  ];
}
