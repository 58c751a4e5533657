/** What can go wrong between us and a nix-daemon. */
import { HydraError, toError } from "../errors.js";

/**
 * - `address`: the store URI is not one we can speak to
 * - `connect`: nobody answers, or the daemon refused the connection
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

export class DaemonError extends HydraError {
  readonly code: DaemonErrorCode;

  constructor(code: DaemonErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}

/** The error for a wait that `signal` ended. */
export function abortError(signal: AbortSignal): DaemonError {
  return new DaemonError("aborted", "The store operation was cancelled", { cause: toError(signal.reason) });
}

// Written with escapes, because the characters themselves are invisible: CSI sequences up to their final byte,
// OSC sequences up to BEL or ESC \, any other two-byte escape, and C0 characters but tab and newline.
const terminalEscapes = new RegExp(
  "\\u001b\\[[0-?]*[ -/]*[@-~]|\\u001b\\][^\\u0007\\u001b]*(?:\\u0007|\\u001b\\\\)?|\\u001b[@-Z\\\\-_a-z]?",
  "g",
);
const controlCharacters = new RegExp("[\\u0000-\\u0008\\u000b-\\u001f\\u007f\\ufffd]", "g");

/**
 * A daemon's text made fit for logs, PostgreSQL and protobuf: no terminal escapes, NULs, other control characters
 * or invalid UTF-8, no `error:` in front.
 */
export function cleanDaemonText(raw: Uint8Array | string): string {
  const text = typeof raw === "string" ? raw : new TextDecoder().decode(raw);
  return text
    .replace(terminalEscapes, "")
    .replace(controlCharacters, "")
    .replace(/^(?:error:\s*)+/, "")
    .trim();
}
