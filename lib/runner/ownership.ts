/** Becoming the only runner: the lock in the database, and the lock file that keeps out a runner that knows only files. */
import { join } from "node:path";
import { Backoff, sleep } from "../async/index.js";
import type { QueueRunnerConfig } from "../config/types.js";
import { failureKind } from "../database/failure-kinds.js";
import type { OwnerLock } from "../database/ownership/owner-lock.js";
import { isForbidden, isShortage } from "../errors.js";
import type { Logger } from "../log.js";
import { ProcessError } from "../process/errors.js";
import { acquireLockFile, type LockFile } from "../process/lock-file.js";

/** How long a predecessor on the same data folder may take to die once its lock in the database is gone. */
const lockFileGraceMs = 5_000;

/**
 * Asks for the lock in the database once; a database that goes away again at this moment is waited for. False: another
 * runner has it.
 */
export async function tryToOwn(
  lock: Pick<OwnerLock, "tryAcquire">,
  { logger, signal }: { readonly logger: Logger; readonly signal: AbortSignal },
): Promise<boolean> {
  const backoff = new Backoff({ firstMs: 250, longestMs: 5_000 });
  for (;;) {
    try {
      return await lock.tryAcquire();
    } catch (error) {
      const kind = failureKind(error);
      if (kind !== "lost" && kind !== "conflict") throw error;
      logger.warn("cannot find out who owns the database; asking again", { error });
    }
    await backoff.wait(signal);
  }
}

/** What happens now could be recorded. */
export function ownerAnswers(lock: Pick<OwnerLock, "isHeld" | "silentSince">): boolean {
  return lock.isHeld && lock.silentSince === undefined;
}

/** Folder of the runner's own files. */
export function ownFolder({ hydraDataDir }: Pick<QueueRunnerConfig, "hydraDataDir">): string {
  return join(hydraDataDir, "queue-runner");
}

/** Where the lock file is, and how it is waited for. */
export interface OwnLockFileOptions {
  readonly path: string;
  readonly logger: Logger;
  readonly now: () => number;
  readonly signal: AbortSignal;
}

/**
 * Keeps a Rust runner out, which knows nothing of the lock in the database. A dying one gets five seconds to let go; a
 * disk that is full is waited for.
 *
 * @throws ProcessError `locked` when another process keeps it
 */
export async function ownLockFile({ path, logger, now, signal }: OwnLockFileOptions): Promise<LockFile> {
  const deadline = now() + lockFileGraceMs;
  for (;;) {
    try {
      return await acquireLockFile(path);
    } catch (error) {
      const held = error instanceof ProcessError && error.code === "locked" && now() <= deadline;
      if (!held && (isForbidden(error) || !isShortage(error))) throw error;
      if (!held) logger.warn("the lock file cannot be written; trying again", { path, error });
      await sleep(held ? 200 : 2_000, { signal });
    }
  }
}
