/** What can go wrong between us and a nix-daemon. */
import { aSignal, checkArgument, someBytes } from "../../argument-checks.js";
import { HydraError, toError } from "../../errors.js";

/**
 * - `address`: the store URI is not one we can speak to
 * - `connect`: the daemon cannot be reached, or refused the connection
 * - `protocol`: the bytes make no sense, or the daemon is too old
 * - `remote`: the daemon itself reported an error; the message is its text
 * - `closed`: the connection ended in the middle of something
 * - `aborted`: our caller's signal fired
 * - `unsupported`: this daemon's protocol version lacks the operation
 * - `invalid-path`: the path is not valid in this store
 * - `size-mismatch`: a NAR was longer or shorter than its path info says
 */
export type DaemonErrorCode =
  | "address"
  | "connect"
  | "protocol"
  | "remote"
  | "closed"
  | "aborted"
  | "unsupported"
  | "invalid-path"
  | "size-mismatch";

/** An error of the daemon or of the connection to it; `code` says which. */
export class DaemonError extends HydraError {
  readonly code: DaemonErrorCode;

  constructor(code: DaemonErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}

/** The error for a wait that `signal` ended. */
export function abortError(signal: AbortSignal): DaemonError {
  checkArgument("abortError", "signal", signal, aSignal);
  return new DaemonError("aborted", "The store operation was cancelled", { cause: toError(signal.reason) });
}

/** A text may hold escape sequences of a terminal: CSI up to its final byte, OSC up to BEL or ESC \, and two-byte ones. */
const esc = "\\u001b";
const terminalEscapes = new RegExp(
  `${esc}\\[[0-?]*[ -/]*[@-~]|${esc}\\][^\\u0007${esc}]*(?:\\u0007|${esc}\\\\)?|${esc}[@-Z^-~\\\\]?`,
  "g",
);
/** All of C0 but tab and newline, DEL, and what stands for invalid UTF-8 after decoding. */
const controlCharacters = /[^\t\n\u0020-\u007e\u0080-\ufffc\ufffe\uffff]/g;

/**
 * A daemon's text made fit for logs, PostgreSQL and protobuf: no terminal escapes, NULs, other control characters
 * or invalid UTF-8, no `error:` in front.
 */
export function cleanDaemonText(raw: Uint8Array | string): string {
  if (typeof raw !== "string") checkArgument("cleanDaemonText", "raw", raw, someBytes);
  const text = typeof raw === "string" ? raw : new TextDecoder().decode(raw);
  return text
    .replace(terminalEscapes, "")
    .replace(controlCharacters, "")
    .replace(/^(?:error:\s*)+/, "")
    .trim();
}
