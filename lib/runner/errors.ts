/** Errors of the runner. */
import { HydraError } from "../errors.js";

/**
 * `unresolved-input`: an input's output path is not known; `output-mismatch`: a builder reported a path that the
 * derivation does not allow; `output-missing`: a reported output is not in the store; `not-owner`: a report about an
 * attempt that its sender does not own; `unreadable-derivation`: the store has no such derivation, or one that makes no
 * sense; `cache-unknown`: what the binary cache has decides, and it cannot be asked.
 */
export type RunnerErrorCode =
  | "unresolved-input"
  | "output-mismatch"
  | "output-missing"
  | "not-owner"
  | "unreadable-derivation"
  | "cache-unknown"
  | "closed";

/** An error of the runner with a stable `code`. */
export class RunnerError extends HydraError {
  readonly code: RunnerErrorCode;

  constructor(code: RunnerErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}
