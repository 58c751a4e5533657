/** The scheduler's one error class. */
import { HydraError } from "../errors.js";

/** What a caller did that the scheduler cannot make sense of. Nothing has been changed when one of these is thrown. */
export type SchedulerErrorCode =
  | "unknown-step"
  | "unknown-input"
  | "unknown-jobset"
  | "unknown-machine"
  | "unknown-build"
  | "duplicate-build"
  | "duplicate-attempt"
  | "step-busy"
  | "cycle";

/** Thrown for calls that contradict what the scheduler knows. */
export class SchedulerError extends HydraError {
  constructor(
    readonly code: SchedulerErrorCode,
    message: string,
  ) {
    super(message);
  }
}
