/** What a builder says of an attempt when it is over, in the runner's own words. */
import type { AttemptOutcome, FailureStatus } from "../scheduler/types.js";
import type { AttemptId, MachineId } from "../scheduler/ids.js";
import type { Hash } from "../nix/hash.js";
import type { StorePath } from "../nix/store-path.js";

export interface ReportedProduct {
  readonly type: string;
  readonly subtype: string;
  /** Store path the product lies in. */
  readonly storePath: StorePath;
  /** Path below it, without leading slash; empty for the store path itself. */
  readonly subPath: string;
  readonly name: string;
  readonly defaultPath: string;
  readonly isRegular: boolean;
  /** 64 lower-case hex digits; only for regular files. */
  readonly sha256: string | undefined;
  /** Bytes; only for regular files. */
  readonly fileSize: number | undefined;
}

export interface ReportedMetric {
  readonly name: string;
  readonly unit: string | undefined;
  readonly value: number;
}

export interface NixSupport {
  /** `nix-support/failed` exists. */
  readonly failed: boolean;
  readonly releaseName: string | undefined;
  readonly products: readonly ReportedProduct[];
  readonly metrics: readonly ReportedMetric[];
}

export interface ReportedOutput {
  readonly path: StorePath;
  /** Bytes of the output's own NAR. */
  readonly narSize: number;
  /** Bytes of all NARs of the output's closure. */
  readonly closureSize: number;
  readonly narHash: Hash | undefined;
  readonly nixSupport: NixSupport | undefined;
}

export type ReportedState =
  | "success"
  | "buildFailure"
  | "timedOut"
  | "logLimit"
  | "narSizeLimit"
  | "preparingFailure"
  | "importFailure"
  | "uploadFailure"
  | "postProcessingFailure";

export interface BuildReport {
  readonly attempt: AttemptId;
  readonly machine: MachineId;
  readonly state: ReportedState;
  readonly importMs: number;
  readonly buildMs: number;
  readonly uploadMs: number;
  readonly outputs: ReadonlyMap<string, ReportedOutput>;
  readonly error: string | undefined;
}

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
  readonly products: readonly ReportedProduct[];
  readonly metrics: readonly ReportedMetric[];
}

/** Sums sizes, appends products, lets later outputs (by name) win for release name and metrics. */
export function summarise(outputs: ReadonlyMap<string, ReportedOutput>): BuildSummary {
  let status: 0 | 6 = 0;
  let size = 0;
  let closureSize = 0;
  let releaseName: string | undefined;
  const products: ReportedProduct[] = [];
  const metrics = new Map<string, ReportedMetric>();
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
