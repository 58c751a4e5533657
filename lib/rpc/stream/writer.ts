/** Writing pieces to a stream without copying them together, waiting while the peer does not read. */
import type { Http2Stream } from "node:http2";
import { RpcError } from "../errors.js";

function broken(): RpcError {
  return new RpcError("cancelled", "the stream was closed by the peer");
}

/**
 * Resolves when the pieces are with the system, and may be overwritten. Meanwhile the
 * caller's source can make the next ones.
 *
 * @throws RpcError `cancelled` when the stream closes
 */
export async function writeThrough(stream: Http2Stream, pieces: readonly Uint8Array[]): Promise<void> {
  if (stream.closed || stream.destroyed || stream.writableEnded) throw broken();
  await new Promise<void>((resolve, reject) => {
    const onClose = (): void => settle(() => reject(broken()));
    const settle = (then: () => void): void => {
      stream.off("close", onClose);
      stream.off("aborted", onClose);
      then();
    };
    stream.once("close", onClose);
    stream.once("aborted", onClose);
    stream.cork();
    for (const [index, piece] of pieces.entries()) {
      if (index < pieces.length - 1) stream.write(piece);
      else stream.write(piece, (error) => settle(error ? () => reject(broken()) : resolve));
    }
    stream.uncork();
  });
}

/** Resolves when there is room for more. @throws RpcError `cancelled` when the stream closes */
export async function writeWithPressure(stream: Http2Stream, pieces: readonly Uint8Array[]): Promise<void> {
  if (stream.closed || stream.destroyed || stream.writableEnded) throw broken();
  // Corked, so that the pieces leave in common frames.
  stream.cork();
  let room = true;
  for (const piece of pieces) room = stream.write(piece);
  stream.uncork();
  if (room || !stream.writableNeedDrain) return;
  await new Promise<void>((resolve, reject) => {
    const onDrain = (): void => settle(resolve);
    const onClose = (): void => settle(() => reject(broken()));
    const settle = (then: () => void): void => {
      stream.off("drain", onDrain);
      stream.off("close", onClose);
      stream.off("aborted", onClose);
      then();
    };
    stream.once("drain", onDrain);
    stream.once("close", onClose);
    stream.once("aborted", onClose);
  });
}
