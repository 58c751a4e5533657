/** What ends a builder or keeps it from starting. Failures of single builds are `BuildFailure`s. */
import { HydraError } from "../errors.js";

/**
 * - `incompatible-version`: the runner does not accept builders with our version (exit code 65)
 * - `store-dir-mismatch`: the runner's store has another store folder
 * - `unauthorized`: the runner refused our token or certificate
 * - `join-rejected`: the runner does not want this machine as it describes itself
 * - `nix-configuration`: Nix's settings could not be read
 * - `untrusted`: the Nix daemon does not trust our user
 * - `runner-lost`: no runner was there for as long as we are to wait for one
 * - `closed`: the builder was closed before it had joined
 */
export type BuilderErrorCode =
  | "incompatible-version"
  | "store-dir-mismatch"
  | "unauthorized"
  | "join-rejected"
  | "nix-configuration"
  | "untrusted"
  | "runner-lost"
  | "closed";

/** Why a builder cannot join or has ended; retrying with the same settings does not help. */
export class BuilderError extends HydraError {
  readonly code: BuilderErrorCode;

  constructor(code: BuilderErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.code = code;
  }

  /** What a process should exit with. */
  get exitCode(): number {
    return this.code === "incompatible-version" ? 65 : this.code === "closed" ? 0 : 1;
  }
}
