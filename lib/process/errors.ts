import { HydraError } from "../errors.js";

/**
 * The process cannot do what a service has to: `locked` when another instance holds the lock, `lock-unusable` when
 * the lock file cannot be made, `notify-failed` when the service manager could not be told.
 */
export class ProcessError extends HydraError {
  readonly code: "locked" | "lock-unusable" | "notify-failed";

  constructor(code: ProcessError["code"], message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}
