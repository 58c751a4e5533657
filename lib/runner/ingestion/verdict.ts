/** Whether a derivation is built, failed before or has to be built, decided from evidence. Pure. */
import type { Presence } from "../../binary-cache/index.js";
import type { StorePath } from "../../nix/path/store-path.js";
import type { UploadMode } from "../outputs/upload-mode.js";
import type { StepFacts } from "../state/derivation-catalog.js";

/** What is known of the outputs of some derivations. */
export interface OutputEvidence {
  /** Valid in the runner's store. */
  readonly valid: ReadonlySet<StorePath>;
  /** Outputs of steps that failed for good. */
  readonly failed: ReadonlySet<StorePath>;
  /** In the caches where they belong; paths that were not queried are missing. */
  readonly presence: ReadonlyMap<StorePath, Presence>;
  /** In the overflow store, for paths that belong in the caches. */
  readonly inOverflow: ReadonlySet<StorePath>;
  readonly uploadMode: UploadMode;
}

/** What evidence alone can prove about one derivation. */
export type EvidenceVerdict =
  /** All outputs are there; nothing has to wait for it. */
  | { readonly kind: "complete"; readonly facts: StepFacts }
  /** Outputs exist, but not yet where builders look for them. */
  | { readonly kind: "uploading"; readonly facts: StepFacts }
  | { readonly kind: "missing"; readonly facts: StepFacts }
  | { readonly kind: "failedBefore"; readonly facts: StepFacts };

/** What ingestion found out about one derivation. */
export type Verdict =
  | EvidenceVerdict
  /** The `.drv` cannot be read, so nothing above it can be built. */
  | { readonly kind: "unreadable"; readonly reason: string }
  /** The scheduler has it already. */
  | { readonly kind: "scheduled" };

/** Judges one derivation; outputs whose paths are unknown count as missing. */
export function judge(facts: StepFacts, evidence: OutputEvidence): EvidenceVerdict {
  const { valid, failed, presence, inOverflow, uploadMode } = evidence;
  const outputs = [...facts.outputs.values()];
  const isThere = (path: StorePath): boolean =>
    valid.has(path) || (uploadMode === "from-builders" && presence.get(path) === "present");
  if (outputs.some((path) => path !== undefined && failed.has(path))) return { kind: "failedBefore", facts };
  if (outputs.every((path) => path !== undefined && isThere(path))) return { kind: "complete", facts };
  if (outputs.every((path) => path !== undefined && (isThere(path) || inOverflow.has(path)))) {
    return { kind: "uploading", facts };
  }
  return { kind: "missing", facts };
}
