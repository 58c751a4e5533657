/** Writing pieces to a stream without copying them together, waiting while the peer does not read. */
import type { Http2Stream } from "node:http2";
import { RpcError } from "../errors.js";

function broken(): RpcError {
  return new RpcError("cancelled", "the stream was closed by the peer");
}

/** Resolves when `begin` calls back without an error. @throws RpcError `cancelled` for one, or when the stream closes before */
async function beforeClose(
  stream: Http2Stream,
  begin: (done: (error?: Error | null) => void) => void,
): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const done = (error?: Error | null): void => {
      stream.off("close", onClose);
      stream.off("aborted", onClose);
      if (error) reject(broken());
      else resolve();
    };
    const onClose = (): void => done(broken());
    stream.once("close", onClose);
    stream.once("aborted", onClose);
    begin(done);
  });
}

/**
 * Resolves when the pieces are with the system, and may be overwritten. Meanwhile the caller's source can make the next
 * ones.
 *
 * @throws RpcError `cancelled` when the stream closes
 */
export async function writeThrough(stream: Http2Stream, pieces: readonly Uint8Array[]): Promise<void> {
  if (stream.closed || stream.destroyed || stream.writableEnded) throw broken();
  await beforeClose(stream, (done) => {
    stream.cork();
    for (const [index, piece] of pieces.entries()) {
      if (index < pieces.length - 1) stream.write(piece);
      else stream.write(piece, done);
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
  await beforeClose(stream, (done) => stream.once("drain", () => done()));
}
