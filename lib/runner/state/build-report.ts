/** A builder's report of an attempt in the terms of the runner. */

import { buildStatus, type SuccessStatus, stepStatus } from "../../database/status-numbers.js";
import { machineTroubleIn } from "../../nix/daemon/machine-trouble.js";
import type { StorePath } from "../../nix/path/store-path.js";
import type {
  BuildCompletion,
  BuildMetric,
  BuildProduct,
  BuiltOutput,
  FailureCause,
} from "../../rpc/types.js";
import type { AttemptId, MachineId } from "../../scheduler/ids.js";
import type { AttemptOutcome, Evidence, FailureStatus } from "../../scheduler/types.js";
import type { StepResources } from "../events/index.js";

/** The wire's report with ids in the scheduler's terms. */
export type BuildReport = Omit<BuildCompletion, "buildId" | "machineId"> & {
  readonly attempt: AttemptId;
  readonly machine: MachineId;
};

/** States that say something about the derivation itself, with the status that its step gets. */
const permanentFailures: Partial<Record<BuildReport["state"], FailureStatus>> = {
  buildFailure: stepStatus.failed,
  timedOut: stepStatus.timedOut,
  logLimit: stepStatus.logLimitExceeded,
  narSizeLimit: stepStatus.narSizeLimitExceeded,
};

/** What a report means for the scheduler. Trouble around a build is never a failure of the derivation. */
export function outcomeOf(report: Pick<BuildReport, "state" | "error" | "cause">): AttemptOutcome {
  const { state, error } = report;
  if (state === "success") return { kind: "succeeded" };
  const status = permanentFailures[state];
  const cause = report.cause ?? causeFromText(state, error ?? "");
  if (status !== undefined && (state !== "buildFailure" || cause === undefined)) {
    return { kind: "failed", status, reason: error };
  }
  return {
    kind: "retryable",
    reason: error ?? state,
    exhausted: cause === "transient" ? stepStatus.failed : stepStatus.aborted,
    evidence: evidenceOf(cause ?? "other"),
  };
}

function evidenceOf(cause: FailureCause): Evidence {
  switch (cause) {
    case "transient":
      return { says: "works" };
    case "other":
      return { says: "nothing" };
    case "daemon":
    case "untrusted":
    case "diskFull":
    case "inputs":
    case "sandbox":
      return { says: "broken", fault: cause };
  }
}

/** How the reference builder words the daemon's result, which it always reports as a failure of the build. */
const referenceResult = /^Build of '[^']*' failed: ([a-z ]+) \(see log\)$/;

/** Those results that the reference's daemon does not mean as a failure of the derivation for good. */
const referenceCauses = new Map<string, FailureCause>([
  ["transient failure", "transient"],
  ["misc failure", "other"],
  ["cached failure", "other"],
  ["dependency failed", "other"],
  ["no substituters", "other"],
]);

/** The runner's own store lacks something. */
const runnerLacks = /not valid in the runner's store|path '[^']*' is not valid|not[- ]found/i;

/** What a builder that does not say the cause says with its text; undefined: nothing. */
function causeFromText(state: BuildReport["state"], text: string): FailureCause | undefined {
  const result = referenceResult.exec(text)?.[1];
  if (result !== undefined) return referenceCauses.get(result);
  const trouble = machineTroubleIn(text);
  if (trouble !== undefined || state !== "importFailure") return trouble;
  return runnerLacks.test(text) ? "other" : "inputs";
}

/** The store paths of outputs, by output name. */
export function outputPathsOf(outputs: ReadonlyMap<string, BuiltOutput>): Map<string, StorePath> {
  return new Map([...outputs].map(([name, output]) => [name, output.path]));
}

/** What an attempt used; undefined when that is not known at all. */
export function resourcesOf({ resources, outputs }: BuildReport): StepResources | undefined {
  if (resources === undefined && outputs.size === 0) return undefined;
  let outputBytes = 0;
  for (const { narSize } of outputs.values()) outputBytes += narSize;
  return { ...resources, ...(outputs.size === 0 ? {} : { outputBytes }) };
}

/** The result of a whole build: its outputs taken together, in name order. */
export interface BuildSummary {
  readonly status: SuccessStatus;
  readonly size: number;
  readonly closureSize: number;
  readonly releaseName: string | undefined;
  readonly products: readonly BuildProduct[];
  readonly metrics: readonly BuildMetric[];
}

/** Sums sizes, appends products, lets later outputs (by name) win for release name and metrics. */
export function summarise(outputs: ReadonlyMap<string, BuiltOutput>): BuildSummary {
  let status: SuccessStatus = buildStatus.succeeded;
  let size = 0;
  let closureSize = 0;
  let releaseName: string | undefined;
  const products: BuildProduct[] = [];
  const metrics = new Map<string, BuildMetric>();
  for (const [, output] of [...outputs].sort(([a], [b]) => (a < b ? -1 : 1))) {
    size += output.narSize;
    closureSize += output.closureSize;
    const support = output.nixSupport;
    if (support === undefined) continue;
    if (support.failed) status = buildStatus.failedWithOutput;
    releaseName = support.releaseName ?? releaseName;
    products.push(...support.products);
    for (const metric of support.metrics) metrics.set(metric.name, metric);
  }
  return { status, size, closureSize, releaseName, products, metrics: [...metrics.values()] };
}
