/**
 * What attempts used, in a table of our own beside Hydra's: schema `hydra_runner`, made when the first row is written.
 * Nothing needs it to run, and nothing in Hydra's own tables refers to it or is referred to.
 */
import { prepared } from "../prepared.js";
import type { SqlSession } from "./session.js";
import type { StepKey } from "./step-rows.js";

/** One row. Times in milliseconds, sizes in bytes; null where it was not measured. */
export interface StepResourcesRow extends StepKey {
  /** Who measured: `daemon`, `cgroup` or `samples`. */
  readonly source: string;
  readonly cpuUserMs: number | null;
  readonly cpuSystemMs: number | null;
  readonly peakMemory: number | null;
  readonly readBytes: number | null;
  readonly writtenBytes: number | null;
  readonly outputBytes: number | null;
}

const exists = "SELECT to_regclass('hydra_runner.step_resources') IS NOT NULL AS exists";

// Key of `buildsteps`, without a foreign key: Hydra's own tables stay as they are.
const creation = [
  "CREATE SCHEMA IF NOT EXISTS hydra_runner",
  `CREATE TABLE IF NOT EXISTS hydra_runner.step_resources (
     build integer NOT NULL,
     stepnr integer NOT NULL,
     source text NOT NULL,
     cpu_user_ms bigint,
     cpu_system_ms bigint,
     peak_memory bigint,
     read_bytes bigint,
     written_bytes bigint,
     output_bytes bigint,
     PRIMARY KEY (build, stepnr)
   )`,
];

const insertion = prepared(`
  INSERT INTO hydra_runner.step_resources
         (build, stepnr, source, cpu_user_ms, cpu_system_ms, peak_memory, read_bytes, written_bytes, output_bytes)
  SELECT * FROM unnest($1::integer[], $2::integer[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
                       $8::bigint[], $9::bigint[])
      ON CONFLICT (build, stepnr) DO NOTHING`);

/** Writes rows; one that is there already stays. Makes the table where it is missing, which needs the right to. */
export async function recordStepResources(
  session: SqlSession,
  rows: readonly StepResourcesRow[],
): Promise<void> {
  const { rows: found } = await session.query(exists);
  if (found[0]?.exists !== true) for (const statement of creation) await session.query(statement);
  await session.query(insertion, [
    rows.map((row) => row.build),
    rows.map((row) => row.stepNumber),
    rows.map((row) => row.source),
    rows.map((row) => row.cpuUserMs),
    rows.map((row) => row.cpuSystemMs),
    rows.map((row) => row.peakMemory),
    rows.map((row) => row.readBytes),
    rows.map((row) => row.writtenBytes),
    rows.map((row) => row.outputBytes),
  ]);
}
