/** Results of builds and steps in the words of OpenTelemetry's conventions for continuous integration. */
import { buildStatus, stepStatus } from "../database/status-numbers.js";
import type { StepFinished } from "../runner/index.js";

/** `cicd.pipeline.result` and `cicd.pipeline.task.run.result`. */
export type PipelineResult = "success" | "failure" | "error" | "timeout" | "cancellation";

const names = new Map<number, string>(
  [...Object.entries(stepStatus), ...Object.entries(buildStatus)].map(([name, number]) => [number, name]),
);

/** A result of a build or a step by its name, as `error.type` has it; there are few of them. */
export function statusName(status: number): string {
  return names.get(status) ?? "_OTHER";
}

/** `builds.buildstatus` */
export function resultOfBuild(status: number): PipelineResult {
  switch (status) {
    case buildStatus.succeeded:
      return "success";
    case buildStatus.aborted:
    case buildStatus.unsupported:
      return "error";
    case buildStatus.cancelled:
      return "cancellation";
    case buildStatus.timedOut:
      return "timeout";
    default:
      return "failure";
  }
}

/** How a step ended. */
export function resultOfStep(outcome: StepFinished["outcome"]): PipelineResult {
  switch (outcome.kind) {
    case "succeeded":
      return "success";
    case "cancelled":
      return "cancellation";
    case "failed":
      return resultOfBuild(outcome.status);
  }
}

/** `name` for results that are errors of a span; what was cancelled is none. */
export function errorOfResult(result: PipelineResult, name: string): string | undefined {
  return result === "success" || result === "cancellation" ? undefined : name;
}
