/** Tries to upload, as events. */
import type { UploadTry } from "../../binary-cache/index.js";
import { errorChain } from "../../errors.js";
import type { UploadFinished } from "../events/index.js";

/** The event of a try that has just ended. */
export function uploadEvent({ job, cache, ms, outcome }: UploadTry): UploadFinished {
  return {
    type: "uploadFinished",
    at: Date.now(),
    paths: job.paths,
    ...(job.log === undefined ? {} : { drv: job.log.drv }),
    store: cache.name,
    ms,
    outcome: outcomeOf(outcome),
  };
}

function outcomeOf(outcome: UploadTry["outcome"]): UploadFinished["outcome"] {
  switch (outcome.kind) {
    case "uploaded": {
      const bytes = outcome.narBytes === undefined ? {} : { bytes: outcome.narBytes };
      return { kind: "uploaded", written: outcome.paths.length, ...bytes };
    }
    case "failed":
      return { kind: "failed", reason: errorChain(outcome.error), retried: outcome.retried };
  }
}
