/** Opening and breaking off the streams of bulk calls. */

import { type ClientHttp2Stream, constants, type OutgoingHttpHeaders } from "node:http2";
import { withSignal } from "../../async/index.js";
import type { CallOptions } from "../types.js";
import { type CallScope, timeoutHeader } from "./call-scope.js";
import type { ClientConnection } from "./connection.js";

/** A connection with the headers that all bulk calls on it send. */
export interface BulkChannel {
  readonly connection: ClientConnection;
  /** What every call carries. */
  readonly headers: OutgoingHttpHeaders;
  /** Full path of a method. */
  readonly pathOf: (method: string) => string;
}

/** @throws RpcError `unavailable`, or the reason of the scope */
export async function openBulkStream(
  channel: BulkChannel,
  method: string,
  scope: CallScope,
  { timeoutMs }: CallOptions,
): Promise<ClientHttp2Stream> {
  scope.signal.throwIfAborted();
  const opening = channel.connection.request("POST", channel.pathOf(method), {
    ...channel.headers,
    ...(timeoutMs === undefined ? {} : { "grpc-timeout": timeoutHeader(timeoutMs) }),
  });
  const stream = await withSignal(opening, scope.signal).catch((error: unknown) => {
    // One that comes too late is not used any more.
    opening.then(breakOff, () => {});
    throw error;
  });
  return stream;
}

/**
 * Resets a stream whose upload must not look complete. Destroying does what closing does not: it drops what has not
 * been sent, leaves out the end of the stream, and resets with an error instead of a cancel, which some servers take
 * for an end.
 */
export function breakOff(stream: ClientHttp2Stream): void {
  if (stream.destroyed) return;
  stream.on("error", () => {});
  stream.destroy(new Error("the call was broken off"));
}

/** Tells the runner that its answer is no longer wanted. */
export function cancel(stream: ClientHttp2Stream): void {
  if (!stream.closed && !stream.destroyed) stream.close(constants.NGHTTP2_CANCEL);
}
