/** Errors of the codecs. */
import { HydraError } from "../errors.js";

/**
 * `truncated`: the input ended too early. `corrupt`: it is not what its method says, or needs too much memory.
 * `too-large`: the output is longer than the limit that was given; everything up to the limit was yielded before.
 * `missing-program`: the method needs a program that is not on PATH. `failed`: anything else.
 */
export type CompressionErrorCode = "truncated" | "corrupt" | "too-large" | "missing-program" | "failed";

/** A codec could not do its work. */
export class CompressionError extends HydraError {
  readonly code: CompressionErrorCode;

  constructor(code: CompressionErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}
