/** A builder's report of an attempt in the terms of the runner. */

import { buildStatus, type SuccessStatus, stepStatus } from "../../database/status-numbers.js";
import type { StorePath } from "../../nix/path/store-path.js";
import type { BuildCompletion, BuildMetric, BuildProduct, BuiltOutput } from "../../rpc/types.js";
import type { AttemptId, MachineId } from "../../scheduler/ids.js";
import type { AttemptOutcome, FailureStatus } from "../../scheduler/types.js";

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

/** What a reported state means for the scheduler. Infrastructure trouble is never a failure of the derivation. */
export function outcomeOf(report: Pick<BuildReport, "state" | "error">): AttemptOutcome {
  if (report.state === "success") return { kind: "succeeded" };
  const status = permanentFailures[report.state];
  return status === undefined
    ? { kind: "retryable", reason: report.error ?? report.state, blame: "machine" }
    : { kind: "failed", status, reason: report.error };
}

/** The store paths of outputs, by output name. */
export function outputPathsOf(outputs: ReadonlyMap<string, BuiltOutput>): Map<string, StorePath> {
  return new Map([...outputs].map(([name, output]) => [name, output.path]));
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
