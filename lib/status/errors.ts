import { HydraError } from "../errors.js";
import type { StatusErrorCode } from "./types.js";

const statusNumbers: Readonly<Record<StatusErrorCode, number>> = {
  "bad-request": 400,
  "not-found": 404,
  conflict: 409,
  unavailable: 503,
  internal: 500,
};

/** A request of the status API that was refused. Its message is what the client reads, so it must hold no secrets. */
export class StatusError extends HydraError {
  readonly code: StatusErrorCode;
  /** HTTP status number. */
  readonly status: number;

  constructor(
    code: StatusErrorCode,
    message: string,
    options?: { readonly cause?: unknown; readonly status?: number },
  ) {
    super(message, options);
    this.code = code;
    this.status = options?.status ?? statusNumbers[code];
  }
}
