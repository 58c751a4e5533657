/** An unfinished build as the runner sees it. */
import type { StorePath } from "../../nix/path/store-path.js";
import type { BuildId, JobsetId } from "../../scheduler/ids.js";

/** What the runner keeps of a row of `builds`. */
export interface QueuedBuild {
  readonly id: BuildId;
  readonly jobset: JobsetId;
  readonly project: string;
  readonly jobsetName: string;
  readonly shares: number;
  readonly job: string;
  readonly drv: StorePath;
  /** Seconds since the epoch: when the build was made. */
  readonly timestamp: number;
  /** Seconds; undefined = the configured default. */
  readonly maxSilent: number | undefined;
  /** Seconds; undefined = the configured default. */
  readonly timeout: number | undefined;
  readonly localPriority: number;
  readonly globalPriority: number;
}
