/** Reads the messages of a call that carries whole messages, one after the other; those of a tunnel: `message-assembler`. */
import type { Http2Stream } from "node:http2";
import { RpcError } from "../errors.js";
import { checkRequestEnd, envelopeBytes, messageSize } from "./envelope.js";
import { framesOf } from "./incoming.js";
import { MessageBuffer } from "./message-buffer.js";

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
    for await (const frames of framesOf(stream, { signal: options.signal })) {
      let received = 0;
      for (const bytes of frames) {
        received += bytes.length;
        for (let at = 0; at < bytes.length; ) {
          if (message === undefined) {
            envelope[envelopeLength++] = bytes[at++] ?? 0;
            if (envelopeLength < envelopeBytes) continue;
            envelopeLength = 0;
            message = new MessageBuffer(messageSize(envelope, options.maxBytes), options.onGrow);
          } else at += message.take(bytes.subarray(at));
          if (message.missing > 0) continue;
          options.onPiece?.(0, false);
          yield message.bytes;
          message = undefined;
        }
      }
      options.onPiece?.(received, message !== undefined || envelopeLength > 0);
    }
  } catch (error) {
    if (error instanceof RpcError) throw error;
    throw new RpcError("cancelled", "the request broke off", { cause: error });
  }
  await checkRequestEnd(stream, message !== undefined || envelopeLength > 0);
  return undefined;
}
