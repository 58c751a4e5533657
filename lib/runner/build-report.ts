/** What a builder says of an attempt when it is over, in the runner's own words. */

import type { BuildCompletion, BuildMetric, BuildProduct, BuiltOutput } from "../rpc/types.js";
import type { AttemptId, MachineId } from "../scheduler/ids.js";
import type { AttemptOutcome, FailureStatus } from "../scheduler/types.js";

/** The wire's report with ids in the scheduler's terms. */
export type BuildReport = Omit<BuildCompletion, "buildId" | "machineId"> & {
  readonly attempt: AttemptId;
  readonly machine: MachineId;
};

function failed(status: FailureStatus, reason: string | undefined): AttemptOutcome {
  return { kind: "failed", status, reason };
}

/** What a reported state means for the scheduler. Infrastructure trouble is never a failure of the derivation. */
export function outcomeOf(report: Pick<BuildReport, "state" | "error">): AttemptOutcome {
  switch (report.state) {
    case "success":
      return { kind: "succeeded" };
    case "buildFailure":
      return failed(1, report.error);
    case "timedOut":
      return failed(7, report.error);
    case "logLimit":
      return failed(10, report.error);
    case "narSizeLimit":
      return failed(11, report.error);
    case "preparingFailure":
    case "importFailure":
    case "uploadFailure":
    case "postProcessingFailure":
      return { kind: "retryable", reason: report.error ?? report.state, blame: "machine" };
  }
}

/** The result of a whole build: its outputs taken together, in name order. */
export interface BuildSummary {
  /** 6 when an output carries `nix-support/failed`, else 0. */
  readonly status: 0 | 6;
  readonly size: number;
  readonly closureSize: number;
  readonly releaseName: string | undefined;
  readonly products: readonly BuildProduct[];
  readonly metrics: readonly BuildMetric[];
}

/** Sums sizes, appends products, lets later outputs (by name) win for release name and metrics. */
export function summarise(outputs: ReadonlyMap<string, BuiltOutput>): BuildSummary {
  let status: 0 | 6 = 0;
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
    if (support.failed) status = 6;
    releaseName = support.releaseName ?? releaseName;
    products.push(...support.products);
    for (const metric of support.metrics) metrics.set(metric.name, metric);
  }
  return { status, size, closureSize, releaseName, products, metrics: [...metrics.values()] };
}
