// A program that has queries of its own in the transactions of the library.
import type { HydraDatabase } from "hydra-runner";
import { drizzleOn, schema } from "hydra-runner/database/drizzle";

/** Names of all jobs in the queue. */
export async function jobs(database: HydraDatabase): Promise<string[]> {
  const { builds } = schema;
  const rows = await database.read((session) => drizzleOn(session).select({ job: builds.job }).from(builds));
  return rows.map(({ job }) => job);
}
