/** What the gRPC library throws, as `RpcError`. */
import { ConnectError } from "@connectrpc/connect";
import { RpcError, type RpcStatus, rpcStatusOf, UnprocessedCallError } from "../errors.js";
import type { ClientConnection } from "./connection.js";

/** Codes the library makes up when a connection fails under a call. */
const vague: ReadonlySet<RpcStatus> = new Set<RpcStatus>(["cancelled", "aborted", "internal", "unknown"]);

/** May wait a moment to find out whether the connection is to blame. */
export async function callError(
  thrown: unknown,
  connection: ClientConnection,
  signal: AbortSignal,
): Promise<RpcError> {
  if (signal.aborted) return RpcError.from(signal.reason, "cancelled");
  if (thrown instanceof RpcError) return thrown;
  if (!(thrown instanceof ConnectError)) return RpcError.from(thrown);
  if (thrown.cause instanceof RpcError) return thrown.cause;
  if (isRefusedStream(thrown.cause)) return new UnprocessedCallError({ cause: thrown });
  const status = statusOf(thrown);
  if (vague.has(status)) {
    const lost = await connection.blame();
    if (lost !== undefined) return lost;
  }
  return new RpcError(status, thrown.rawMessage, { cause: thrown });
}

/**
 * The library gives an answer that it cannot decode the status of a malformed request. Only the runner can find a request
 * malformed, and its answer carries `grpc-status`.
 */
function statusOf({ code, metadata }: ConnectError): RpcStatus {
  const status = rpcStatusOf(code);
  return status === "invalid-argument" && !metadata.has("grpc-status") ? "internal" : status;
}

/** What Node reports for a stream that the other side refused, or that came after its GOAWAY. */
function isRefusedStream(cause: unknown): boolean {
  return cause instanceof Error && cause.message.includes("NGHTTP2_REFUSED_STREAM");
}
