/** What the runner knows, as the rows that Hydra wants. Pure. */
import type { BuildResult, OutputPath, StepDraft, StepEnd } from "../../database/recording/index.js";
import { stepDraft, toSeconds } from "../../database/recording/index.js";
import { type StepStatus, stepBusy, stepStatus, stepType } from "../../database/status-numbers.js";
import { printStorePath, type StoreDir, type StorePath } from "../../nix/path/store-path.js";
import type { BuildId } from "../../scheduler/ids.js";
import type { FailureStatus } from "../../scheduler/types.js";
import type { Attempt, StepRow } from "../state/attempts.js";
import type { BuildSummary } from "../state/build-report.js";
import type { StepFacts } from "../state/derivation-catalog.js";

/** Begin and end in milliseconds since the epoch. */
export interface Span {
  readonly startMs: number;
  readonly stopMs: number;
}

/** Outputs with full paths; unknown paths stay undefined. */
export function outputPaths(
  storeDir: StoreDir,
  outputs: ReadonlyMap<string, StorePath | undefined>,
): OutputPath[] {
  return [...outputs].map(([name, path]) => ({
    name,
    path: path === undefined ? undefined : printStorePath(storeDir, path),
  }));
}

/** The row of a step that goes to a machine. */
export function busyDraft(storeDir: StoreDir, attempt: Attempt): StepDraft {
  const { drv, facts, assignment } = attempt;
  return stepDraft({
    build: assignment.build,
    type: stepType.build,
    drvPath: printStorePath(storeDir, drv),
    busy: stepBusy.preparing,
    startTime: toSeconds(attempt.startedAt),
    system: facts.system,
    machine: attempt.hostname,
    outputs: outputPaths(storeDir, facts.outputs),
  });
}

/** The row of a derivation that was found to be another one. It never ran, so both times are the same. */
export function resolvedDraft(storeDir: StoreDir, attempt: Attempt, resolved: StorePath): StepDraft {
  const { row } = busyDraft(storeDir, attempt);
  return stepDraft({
    ...row,
    busy: stepBusy.notRunning,
    status: stepStatus.resolved,
    stopTime: row.startTime,
    resolvedDrvPath: resolved,
  });
}

/** The row of outputs that came from elsewhere: found in the store, or substituted. */
export function foundDraft(
  storeDir: StoreDir,
  build: BuildId,
  drv: StorePath,
  outputs: readonly OutputPath[],
  span: Span,
): StepDraft {
  const startTime = toSeconds(span.startMs);
  return stepDraft({
    build,
    type: stepType.substitution,
    drvPath: printStorePath(storeDir, drv),
    busy: stepBusy.notRunning,
    status: stepStatus.succeeded,
    startTime,
    stopTime: Math.max(startTime, toSeconds(span.stopMs)),
    machine: "",
    outputs,
  });
}

/** What the rows of a failed step have in common. Made once: thousands of builds may share it. */
export interface SharedFailure {
  /** Full path. */
  readonly drvPath: string;
  readonly system: string;
  readonly status: FailureStatus;
  readonly error: string | undefined;
  readonly machine: string;
  readonly outputs: readonly OutputPath[];
}

/** The common part of all rows of one failed step. */
export function sharedFailure(
  storeDir: StoreDir,
  facts: StepFacts,
  end: Pick<SharedFailure, "status" | "error" | "machine">,
): SharedFailure {
  const { status, error, machine } = end;
  return {
    drvPath: printStorePath(storeDir, facts.drv),
    system: facts.system,
    status,
    error,
    machine,
    outputs: outputPaths(storeDir, facts.outputs),
  };
}

/** The row of a failed step in a build that did not run it itself. Without times: it never ran there. */
export function failureCopy(build: BuildId, shared: SharedFailure, from: number | undefined): StepDraft {
  return stepDraft({
    ...shared,
    build,
    type: stepType.build,
    busy: stepBusy.notRunning,
    propagatedFrom: from === build ? undefined : from,
  });
}

/** The result of an attempt, as its row shows it. */
export interface StepEnding {
  readonly status: StepStatus;
  readonly error: string | undefined;
  readonly overheadMs: number;
  readonly outputs?: readonly OutputPath[] | undefined;
}

/** The end of the row of an attempt. `nowMs`: milliseconds since the epoch. */
export function stepEnd(attempt: Attempt, row: StepRow, end: StepEnding, nowMs: number): StepEnd {
  const startTime = toSeconds(attempt.startedAt);
  return {
    build: row.build,
    stepNumber: row.stepNumber,
    status: end.status,
    error: end.error,
    startTime,
    // A clock that was set back must not give a negative duration.
    stopTime: Math.max(startTime, toSeconds(nowMs)),
    machine: attempt.hostname,
    overheadMs: end.overheadMs,
    outputs: end.outputs ?? [],
  };
}

/** The result of a build, with full paths. */
export function buildResult(
  storeDir: StoreDir,
  outputs: ReadonlyMap<string, StorePath>,
  summary: BuildSummary,
): BuildResult {
  return {
    size: summary.size,
    closureSize: summary.closureSize,
    releaseName: summary.releaseName,
    outputs: outputPaths(storeDir, outputs),
    products: summary.products.map((product) => {
      const root = printStorePath(storeDir, product.storePath);
      return {
        type: product.type,
        subtype: product.subtype,
        fileSize: product.isRegular ? product.fileSize : undefined,
        sha256: product.isRegular ? product.sha256 : undefined,
        path: product.subPath === "" ? root : `${root}/${product.subPath}`,
        name: product.name,
        defaultPath: product.defaultPath,
      };
    }),
    metrics: summary.metrics,
  };
}
