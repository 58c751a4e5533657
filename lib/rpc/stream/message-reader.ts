/** Reads the messages of a call that carries whole messages: single ones, and those of a tunnel. */
import type { Http2Stream } from "node:http2";
import { RpcError } from "../errors.js";
import { chunksOf } from "./chunks.js";
import { MessageBuffer } from "./message-buffer.js";
import { isEndedByPeer } from "./protocol.js";

/** Limits of the messages, and where their bytes are counted. */
export interface MessageReaderOptions {
  /** Largest message, without its envelope. */
  readonly maxBytes: number;
  /** Called before more memory is taken for a message; throws to refuse it. */
  readonly onGrow?: (bytes: number) => void;
  /** Called after each piece that arrived with its size, and whether a message is incomplete. */
  readonly onPiece?: (bytes: number, incomplete: boolean) => void;
  /** Aborts when the stream is over. Default: its close says so. */
  readonly signal?: AbortSignal;
}

const envelopeBytes = 5;

/**
 * The messages up to the complete end of the stream.
 *
 * @throws RpcError `out-of-range` for a message over the limit, `internal` for a compressed or an incomplete one,
 *   `cancelled` when the stream breaks off; what `onGrow` throws
 */
export async function* readMessages(
  stream: Http2Stream,
  options: MessageReaderOptions,
): AsyncGenerator<Uint8Array, undefined> {
  const envelope = new Uint8Array(envelopeBytes);
  let envelopeLength = 0;
  let message: MessageBuffer | undefined;
  try {
    for await (const bytes of chunksOf(stream, { signal: options.signal })) {
      for (let at = 0; at < bytes.length; ) {
        if (message === undefined) {
          envelope[envelopeLength++] = bytes[at++] ?? 0;
          if (envelopeLength < envelopeBytes) continue;
          envelopeLength = 0;
          message = new MessageBuffer(sizeOf(envelope, options.maxBytes), options.onGrow);
        } else at += message.take(bytes.subarray(at));
        if (message.missing > 0) continue;
        options.onPiece?.(0, false);
        yield message.bytes;
        message = undefined;
      }
      options.onPiece?.(bytes.length, message !== undefined || envelopeLength > 0);
    }
  } catch (error) {
    if (error instanceof RpcError) throw error;
    throw new RpcError("cancelled", "the request broke off", { cause: error });
  }
  if (!(await isEndedByPeer(stream))) throw new RpcError("cancelled", "the request was cancelled");
  if (message !== undefined || envelopeLength > 0) {
    throw new RpcError("internal", "the request ended in the middle of a message");
  }
  return undefined;
}

function sizeOf(envelope: Uint8Array, maxBytes: number): number {
  if (envelope[0] !== 0) {
    throw new RpcError("internal", "a message is compressed, which was not agreed on");
  }
  const size = new DataView(envelope.buffer).getUint32(1);
  if (size > maxBytes) {
    throw new RpcError("out-of-range", `a message of ${size} bytes exceeds the limit of ${maxBytes}`);
  }
  return size;
}
