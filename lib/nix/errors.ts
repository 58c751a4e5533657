/** Errors of Nix's formats. */
import { HydraError } from "../errors.js";

/** Which format was violated; `uncheckable`: not a violation, but a hash method or algorithm that is not supported here. */
export type NixFormatErrorCode =
  | "store-path"
  | "hash"
  | "content-address"
  | "uncheckable"
  | "derivation"
  | "nar"
  | "narinfo"
  | "signature"
  | "realisation";

/** Input that is not what it should be. The message names the format, the fault and, where there is one, the position. */
export class NixFormatError extends HydraError {
  readonly code: NixFormatErrorCode;
  /** Byte offset (or line number, for line formats) of the fault. */
  readonly position: number | undefined;

  constructor(
    code: NixFormatErrorCode,
    message: string,
    options?: { readonly position?: number | undefined; readonly cause?: unknown },
  ) {
    super(options?.position === undefined ? message : `${message} (at ${options.position})`, options);
    this.code = code;
    this.position = options?.position;
  }
}
