/**
 * Bulk bytes to the runner.
 *
 * Only an upload whose source came to its end is ended; every other one is reset, so that it cannot look complete.
 */

import type { ClientHttp2Stream } from "node:http2";
import { withSignal } from "../../async/index.js";
import { isLending, lentPieces } from "../../compression/index.js";
import { RpcError } from "../errors.js";
import { bulkHead, bulkPieceBytes, messageFrame, writeThrough, writeWithPressure } from "../stream/index.js";
import type { CallOptions } from "../types.js";
import { Answer } from "./answer.js";
import { type BulkChannel, breakOff, openBulkStream } from "./bulk-stream.js";
import { CallScope } from "./call-scope.js";

/** The messages of an upload, in order. */
export interface Upload {
  readonly method: "BuildLog" | "BuildResult";
  /** A message that goes first, whole. */
  readonly first?: Uint8Array | undefined;
  /** Encoded fields that go in front of the first payload; sent even when there is none. */
  readonly head?: Uint8Array | undefined;
  readonly chunks: AsyncIterable<Uint8Array>;
}

/** Why sending stops; made once, because an error with its stack for each call is not cheap. */
const over = new RpcError("cancelled", "the call is over");

/** Resolves when the runner has all of it. @throws RpcError; what the source throws becomes `internal` */
export async function upload(channel: BulkChannel, what: Upload, options: CallOptions = {}): Promise<void> {
  const scope = new CallScope(options);
  const source = lentPieces(what.chunks)[Symbol.asyncIterator]();
  const halt = new AbortController();
  let stream: ClientHttp2Stream | undefined;
  let done = false;
  try {
    stream = await openBulkStream(channel, what.method, scope, options);
    const answer = new Answer(stream, channel.connection);
    // The answer is one empty message; what counts is the status.
    stream.resume();
    const sent = send(stream, what, source, halt.signal);
    // The status may come early, and then it counts, whatever else there is to send.
    await withSignal(Promise.race([answer.status, sent.then(() => answer.status)]), scope.signal);
    done = await Promise.race([sent, Promise.resolve(false)]);
  } catch (error) {
    throw RpcError.from(error);
  } finally {
    scope.end();
    halt.abort(over);
    if (!done) {
      if (stream !== undefined) breakOff(stream);
      // Not awaited: the source may be waiting for something that need not come.
      void Promise.resolve(source.return?.()).catch(() => {});
    }
  }
}

/** True when everything was sent; false when the stream was closed before, for which its status gives the reason. */
async function send(
  stream: ClientHttp2Stream,
  { first, head, chunks }: Upload,
  source: AsyncIterator<Uint8Array>,
  halt: AbortSignal,
): Promise<boolean> {
  const put = isLending(chunks) ? writeThrough : writeWithPressure;
  const write = async (pieces: readonly Uint8Array[]): Promise<boolean> => {
    try {
      await put(stream, pieces);
      return true;
    } catch {
      return false;
    }
  };
  if (first !== undefined && !(await write([messageFrame(first)]))) return false;
  let pending = head;
  for (;;) {
    const result = await withSignal(Promise.resolve(source.next()), halt);
    if (result.done === true) break;
    for (let at = 0; at < result.value.length; at += bulkPieceBytes) {
      const piece = result.value.subarray(at, at + bulkPieceBytes);
      if (!(await write([bulkHead(piece.length, pending), piece]))) return false;
      pending = undefined;
    }
  }
  if (pending !== undefined && !(await write([messageFrame(pending)]))) return false;
  stream.end();
  return true;
}
