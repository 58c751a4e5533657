/** The five bytes in front of each gRPC message, and the end of the calls that carry whole messages. */
import type { Http2Stream } from "node:http2";
import { RpcError } from "../errors.js";
import { isEndedByPeer } from "./protocol.js";

/** Bytes in front of a message: a flag, and the size of what follows. */
export const envelopeBytes = 5;

/**
 * Size of the message that follows.
 *
 * @throws RpcError `internal` for a compressed message, `out-of-range` for one over the limit
 */
export function messageSize(envelope: ArrayLike<number>, maxBytes: number): number {
  const { 0: flag, 1: a = 0, 2: b = 0, 3: c = 0, 4: d = 0 } = envelope;
  if (flag !== 0) throw new RpcError("internal", "a message is compressed, which was not agreed on");
  const size = a * 0x1000000 + b * 0x10000 + c * 0x100 + d;
  if (size > maxBytes) {
    throw new RpcError("out-of-range", `a message of ${size} bytes exceeds the limit of ${maxBytes}`);
  }
  return size;
}

/** Looks at a stream that ended. @throws RpcError `cancelled` when it was reset, `internal` inside a message */
export async function checkRequestEnd(stream: Http2Stream, isIncomplete: boolean): Promise<void> {
  if (!(await isEndedByPeer(stream))) throw new RpcError("cancelled", "the request was cancelled");
  if (isIncomplete) throw new RpcError("internal", "the request ended in the middle of a message");
}
