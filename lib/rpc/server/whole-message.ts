/** Reads the one message of a call whose request is no stream. */
import type { Http2Stream } from "node:http2";
import { RpcError } from "../errors.js";
import { isEndedByPeer } from "../stream/index.js";

/** @throws RpcError when there is none, more than one, a compressed one, or one over the limit */
export async function readWholeMessage(stream: Http2Stream, maxBytes: number): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const chunk of stream.iterator({ destroyOnReturn: false })) {
      const bytes = chunk as Uint8Array;
      pieces.push(bytes);
      size += bytes.length;
      if (size > maxBytes + 5)
        throw new RpcError("out-of-range", `the message exceeds the limit of ${maxBytes} bytes`);
    }
  } catch (error) {
    if (error instanceof RpcError) throw error;
    throw new RpcError("cancelled", "the request broke off", { cause: error });
  }
  if (!(await isEndedByPeer(stream))) throw new RpcError("cancelled", "the request was cancelled");
  const all = Buffer.concat(pieces);
  if (size < 5) throw new RpcError("internal", "the request holds no message");
  if (all[0] !== 0) throw new RpcError("internal", "the message is compressed, which was not agreed on");
  if (all.readUInt32BE(1) !== size - 5)
    throw new RpcError("internal", "the request is not exactly one message");
  return all.subarray(5);
}
