/** Ends of steps and builds as what is to be recorded of them. Pure. */
import type { BuildEnd, Outcome, StepDraft } from "../../database/recording/index.js";
import { toSeconds } from "../../database/recording/index.js";
import { type BuildStatus, buildStatus, stepStatus } from "../../database/status-numbers.js";
import type { StoreDir, StorePath } from "../../nix/path/store-path.js";
import type { BuiltOutput } from "../../rpc/types.js";
import type { BuildId } from "../../scheduler/ids.js";
import type { FailedBuild, FailureStatus } from "../../scheduler/types.js";
import type { Attempt, StepRow } from "../state/attempts.js";
import { type BuildSummary, outputPathsOf } from "../state/build-report.js";
import type { StepFacts } from "../state/derivation-catalog.js";
import { buildResult, failureCopy, outputPaths, sharedFailure } from "./rows.js";

/** The end of a step that ran. */
export type EndedStep = NonNullable<Outcome["step"]>;

/** A success as it is recorded. */
export interface StepSuccess {
  readonly overheadMs: number;
  readonly outputs: ReadonlyMap<string, BuiltOutput>;
  readonly summary: BuildSummary;
  /** Builds whose own derivation the step is. */
  readonly builds: readonly BuildId[];
  /** The build that the step was run for; the others count as cached. */
  readonly accounted: BuildId;
}

/** A failure that will not be retried, as it is recorded. */
export interface StepFailure {
  /** Absent for steps that fail without an attempt. */
  readonly attempt: Attempt | undefined;
  readonly row: StepRow | undefined;
  readonly facts: StepFacts;
  readonly status: FailureStatus;
  readonly error: string | undefined;
  readonly overheadMs: number;
  /** The build that the step was run for. */
  readonly accounted: BuildId | undefined;
  readonly builds: readonly FailedBuild[];
}

/** Builds that fail in one transaction, and whose rows are made without a pause. */
const failuresAtOnce = 500;

/** A step that is built, and the builds that it finishes. */
export function successOutcome(storeDir: StoreDir, step: EndedStep, success: StepSuccess): Outcome {
  const result = buildResult(storeDir, outputPathsOf(success.outputs), success.summary);
  return {
    step,
    builds: success.builds.map((id) => ({
      id,
      status: success.summary.status,
      startTime: step.startTime,
      stopTime: step.stopTime,
      cached: id !== success.accounted,
      result,
    })),
  };
}

/**
 * Status of a build by the status of the step that decided it. Only a real failure is "dependency failed" further up;
 * a failure known from before is a failure with the cached mark, because builds have no status for it.
 */
export function failedBuildStatus(status: FailureStatus, own: boolean): BuildStatus {
  if (status === stepStatus.failed || status === stepStatus.cachedFailure) {
    return own ? buildStatus.failed : buildStatus.dependencyFailed;
  }
  return status;
}

function failedBuildEnd(
  build: FailedBuild,
  status: FailureStatus,
  times: Pick<BuildEnd, "startTime" | "stopTime">,
): BuildEnd {
  const { startTime, stopTime } = times;
  return {
    id: build.id,
    status: failedBuildStatus(status, build.own),
    startTime,
    stopTime,
    cached: status === stepStatus.cachedFailure,
  };
}

/**
 * The parts in which a failure is recorded, each made when it is its turn; the first ends the step. `rememberPaths`:
 * for FailedPaths.
 */
export function* failureOutcomes(
  storeDir: StoreDir,
  failure: StepFailure,
  step: EndedStep | undefined,
  nowMs: number,
  rememberPaths: boolean,
): Generator<Outcome, undefined> {
  const { attempt, facts, status, error, accounted } = failure;
  const startTime = toSeconds(attempt?.startedAt ?? nowMs);
  const times = step ?? { startTime, stopTime: Math.max(startTime, toSeconds(nowMs)) };
  const machine = status === stepStatus.cachedFailure ? "" : (attempt?.hostname ?? "");
  const shared = sharedFailure(storeDir, facts, { status, error, machine });
  const copyFor = (build: FailedBuild): StepDraft[] =>
    build.id === step?.build ? [] : [failureCopy(build.id, shared, accounted)];
  // The accounted build is announced first; the others follow in the order of their ids.
  const builds = [...failure.builds].sort(
    (a, b) => Number(b.id === accounted) - Number(a.id === accounted) || a.id - b.id,
  );
  for (let from = 0; from === 0 || from < builds.length; from += failuresAtOnce) {
    const chunk = builds.slice(from, from + failuresAtOnce);
    yield {
      step: from === 0 ? step : undefined,
      builds: chunk.map((build) => failedBuildEnd(build, status, times)),
      together: true,
      copies: chunk.flatMap(copyFor),
      failedPaths: from === 0 && rememberPaths ? lastingFailures(storeDir, status, facts) : [],
    };
  }
}

/** Failures that would repeat themselves; trouble of machines and limits would not. */
function lastingFailures(storeDir: StoreDir, status: FailureStatus, facts: StepFacts): string[] {
  if (status !== stepStatus.failed && status !== stepStatus.notDeterministic) return [];
  return outputPaths(storeDir, facts.outputs).flatMap(({ path }) => (path === undefined ? [] : [path]));
}

/** A build that cannot be built because `facts` failed in the build `from`. */
export function failedBeforeOutcome(
  storeDir: StoreDir,
  build: FailedBuild,
  facts: StepFacts,
  from: number | undefined,
  nowMs: number,
): Outcome {
  const now = toSeconds(nowMs);
  const failure = sharedFailure(storeDir, facts, {
    status: stepStatus.cachedFailure,
    error: undefined,
    machine: "",
  });
  return {
    builds: [failedBuildEnd(build, stepStatus.cachedFailure, { startTime: now, stopTime: now })],
    copies: [failureCopy(build.id, failure, from)],
  };
}

/** A build whose derivation cannot be read. */
export function abortedOutcome(build: BuildId, nowMs: number): Outcome {
  const now = toSeconds(nowMs);
  return {
    builds: [{ id: build, status: buildStatus.aborted, startTime: now, stopTime: now, cached: false }],
  };
}

/** A build whose outputs exist already. */
export function cachedOutcome(
  storeDir: StoreDir,
  build: BuildId,
  outputs: ReadonlyMap<string, StorePath>,
  summary: BuildSummary,
  nowMs: number,
): Outcome {
  const now = toSeconds(nowMs);
  const result = buildResult(storeDir, outputs, summary);
  return {
    builds: [{ id: build, status: summary.status, startTime: now, stopTime: now, cached: true, result }],
  };
}
