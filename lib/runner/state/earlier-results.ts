/** The last results of an earlier process: what the page shows until this one has its own. */
import { basename } from "node:path";
import type { HydraDatabase } from "../../database/index.js";
import type { Logger } from "../../log.js";
import { parseStorePath } from "../../nix/path/store-path.js";
import { buildId } from "../../scheduler/ids.js";
import { type BuildRegistry, type EndedBuild, recentKept } from "./build-registry.js";

/** Reads them once; when the database does not say, there are none. Never rejects. */
export async function recallResults(options: {
  readonly database: Pick<HydraDatabase, "lastResults">;
  readonly registry: Pick<BuildRegistry, "recall">;
  readonly logger: Logger;
}): Promise<void> {
  const { database, registry, logger } = options;
  try {
    const rows = await database.lastResults(recentKept);
    registry.recall(
      rows.map(
        ({ id, project, jobset, job, drvPath, status, cached, stopTime, seconds, machine }): EndedBuild => ({
          build: {
            id: buildId(id),
            project,
            jobsetName: jobset,
            job,
            drv: parseStorePath(basename(drvPath)),
          },
          status,
          finishedAt: stopTime * 1000,
          durationMs: cached ? 0 : 1000 * (seconds ?? 0),
          machine: cached ? undefined : (machine ?? undefined),
          cached,
        }),
      ),
    );
  } catch (error) {
    logger.warn("the results of earlier builds cannot be read; the live page starts without them", { error });
  }
}
