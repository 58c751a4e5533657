/** Which way outputs go from a builder to the binary caches. */
import type { QueueRunnerConfig } from "../../config/types.js";

/**
 * `through-runner`: builders send outputs into the runner's store, the runner uploads them. `from-builders`: builders
 * upload them to S3 themselves with URLs that the runner signs.
 */
export type UploadMode = "through-runner" | "from-builders";

/** The only reader of `usePresignedUploads`. */
export function uploadModeOf(config: Pick<QueueRunnerConfig, "usePresignedUploads">): UploadMode {
  return config.usePresignedUploads ? "from-builders" : "through-runner";
}
