/** What the gRPC library throws, as `RpcError`. */
import { ConnectError } from "@connectrpc/connect";
import { RpcError, type RpcStatus, rpcStatusOf } from "../errors.js";
import type { ClientConnection } from "./connection.js";

/** Codes the library makes up when a connection fails under a call. */
const vague: ReadonlySet<RpcStatus> = new Set<RpcStatus>(["cancelled", "aborted", "internal", "unknown"]);

/** Takes a moment when the connection may be to blame. */
export async function callError(
  thrown: unknown,
  connection: ClientConnection,
  signal: AbortSignal,
): Promise<RpcError> {
  if (signal.aborted) return RpcError.from(signal.reason, "cancelled");
  if (thrown instanceof RpcError) return thrown;
  if (!(thrown instanceof ConnectError)) return RpcError.from(thrown);
  if (thrown.cause instanceof RpcError) return thrown.cause;
  const status = rpcStatusOf(thrown.code);
  if (vague.has(status)) {
    const lost = await connection.blame();
    if (lost !== undefined) return lost;
  }
  return new RpcError(status, thrown.rawMessage, { cause: thrown });
}
