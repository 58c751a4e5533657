/** What an error in a build says about this machine. */
import { DaemonError } from "../../nix/daemon/error.js";
import { machineTroubleIn } from "../../nix/daemon/machine-trouble.js";
import { RpcError } from "../../rpc/errors.js";
import type { FailureCause } from "../../rpc/types.js";

/** Longer chains of causes are not followed. */
const longestChain = 20;

/** `fallback`: what it is when the error itself does not tell. */
export function causeOf(thrown: unknown, fallback: "inputs" | "other"): FailureCause {
  let error = thrown;
  for (let depth = 0; error instanceof Error && depth < longestChain; depth++, error = error.cause) {
    const { code } = error as { readonly code?: unknown };
    if (code === "ENOSPC" || code === "EDQUOT") return "diskFull";
    if (error instanceof DaemonError) return daemonCause(error) ?? fallback;
    // What the runner answers is about the runner; only a connection that breaks is about both.
    if (error instanceof RpcError && code !== "unavailable" && code !== "deadline-exceeded") return "other";
  }
  return fallback;
}

function daemonCause({ code, message }: DaemonError): FailureCause | undefined {
  switch (code) {
    case "connect":
    case "closed":
    case "protocol":
      return "daemon";
    case "remote":
      return machineTroubleIn(message);
    case "address":
    case "aborted":
    case "unsupported":
    case "invalid-path":
    case "size-mismatch":
      return undefined;
  }
}
