/** Errors of the recording statements. */
import { HydraError } from "../../errors.js";

/**
 * `build-gone`: the build that a row should belong to was deleted; `step-number`: other writers kept taking the step
 * numbers of a build, so no row could be inserted.
 */
export type RecordingErrorCode = "build-gone" | "step-number";

/** A row that can never be written as it is. */
export class RecordingError extends HydraError {
  readonly code: RecordingErrorCode;

  constructor(code: RecordingErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}
