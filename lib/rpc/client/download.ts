/** Bulk bytes from the runner: a head and then a stream that is read at the caller's pace. */

import type { ClientHttp2Stream } from "node:http2";
import { withSignal } from "../../async/index.js";
import type { LendingStream } from "../../compression/index.js";
import { RpcError } from "../errors.js";
import {
  type BulkEvents,
  BulkReader,
  gathered,
  maxMessageBytes,
  messageFrame,
  nextEvent,
} from "../stream/index.js";
import type { CallOptions } from "../types.js";
import { Answer } from "./answer.js";
import { type BulkChannel, cancel, openBulkStream } from "./bulk-stream.js";
import { CallScope } from "./call-scope.js";

/** The first field of a downloaded stream, and the payload that follows. */
export interface Download {
  /** Field 1 of the first message. */
  readonly head: Uint8Array;
  /** Ends only if the runner said that all is well. Leaving early cancels the call. */
  readonly chunks: LendingStream;
}

/** @throws RpcError */
export async function download(
  channel: BulkChannel,
  method: "FetchPaths",
  request: Uint8Array,
  options: CallOptions = {},
): Promise<Download> {
  const scope = new CallScope(options);
  let stream: ClientHttp2Stream | undefined;
  const end = (): void => {
    scope.end();
    if (stream !== undefined) cancel(stream);
  };
  scope.signal.addEventListener("abort", end, { once: true });
  try {
    stream = await openBulkStream(channel, method, scope, options);
    const answer = new Answer(stream, channel.connection);
    stream.end(messageFrame(request));
    const events = eventsOf(stream, answer, scope.signal);
    const event = await nextEvent(events);
    if (event?.kind !== "head") throw new RpcError("internal", "the answer does not start with a header");
    return { head: event.bytes, chunks: gathered(events, end) };
  } catch (error) {
    end();
    throw RpcError.from(error);
  }
}

function eventsOf(stream: ClientHttp2Stream, answer: Answer, signal: AbortSignal): BulkEvents {
  const reader = new BulkReader(stream, { maxMessageBytes, checkEnd: () => answer.status });
  const reasonOf = (error: unknown): unknown => {
    signal.throwIfAborted();
    return answer.failure ?? error;
  };
  return {
    take: () => {
      try {
        return reader.take();
      } catch (error) {
        throw reasonOf(error);
      }
    },
    more: async () => {
      try {
        return await withSignal(reader.more(), signal);
      } catch (error) {
        signal.throwIfAborted();
        // A stream that broke says less than the status; after anything else the stream goes on, without us.
        if (stream.closed || stream.destroyed) await answer.status;
        throw reasonOf(error);
      }
    },
  };
}
