/**
 * Calls that carry whole messages, on bare HTTP/2 streams: one message each way, or messages both ways for as long as a
 * tunnel lives. What the runner answers is not believed: messages are bounded, and a call without a status has failed.
 */
import type { ClientHttp2Stream, OutgoingHttpHeaders } from "node:http2";
import { withSignal } from "../../async/index.js";
import { RpcError, type RpcStatus } from "../errors.js";
import {
  framesOf,
  MessageAssembler,
  maxMessageBytes,
  messageFrame,
  writeWithPressure,
} from "../stream/index.js";
import type { CallOptions } from "../types.js";
import { Answer } from "./answer.js";
import { type BulkChannel, cancel, openBulkStream } from "./bulk-stream.js";
import { CallScope } from "./call-scope.js";
import type { ClientConnection } from "./connection.js";

/** A call of one message. */
export interface UnaryCall {
  readonly method: string;
  /** Encoded. */
  readonly request: Uint8Array;
  /** Besides those of all calls. */
  readonly headers?: OutgoingHttpHeaders | undefined;
}

/** Statuses that may only tell that the connection failed. */
const vague: ReadonlySet<RpcStatus> = new Set<RpcStatus>(["cancelled", "aborted", "internal", "unknown"]);

/**
 * What a call ended with, as its caller sees it. Takes a moment when the connection may be to blame.
 *
 * @param signal of the call; its reason is an `RpcError`
 */
export async function callError(
  thrown: unknown,
  connection: ClientConnection,
  signal: AbortSignal,
): Promise<RpcError> {
  if (signal.aborted) return RpcError.from(signal.reason, "cancelled");
  const error = RpcError.from(thrown);
  return (vague.has(error.code) ? await connection.blame() : undefined) ?? error;
}

/** The one message of the answer. @throws RpcError */
export async function unary(
  channel: BulkChannel,
  { method, request, headers }: UnaryCall,
  options: CallOptions = {},
): Promise<Uint8Array> {
  const scope = new CallScope(options);
  let stream: ClientHttp2Stream | undefined;
  try {
    if (request.length > maxMessageBytes) {
      throw new RpcError("resource-exhausted", `a request of ${request.length} bytes exceeds the limit`);
    }
    stream = await openBulkStream(channel, method, scope, { ...options, headers });
    const messages = messagesOf(stream, new Answer(stream, channel.connection));
    stream.end(messageFrame(request));
    return await withSignal(onlyOne(messages), scope.signal);
  } catch (error) {
    throw await callError(error, channel.connection, scope.signal);
  } finally {
    scope.end();
    if (stream !== undefined) cancel(stream);
  }
}

/** A call of many messages. */
export interface Exchange extends Omit<UnaryCall, "request"> {
  /** Encoded. They are asked for at the pace of the runner; their end ends our side. */
  readonly requests: AsyncIterable<Uint8Array>;
  /** Ends the call. */
  readonly signal: AbortSignal;
}

/** The messages of the answer, up to a status of OK. Leaving early cancels the call. @throws RpcError */
export async function* exchange(
  channel: BulkChannel,
  { method, headers, requests, signal }: Exchange,
): AsyncGenerator<Uint8Array, undefined> {
  const scope = new CallScope({ signal });
  let stream: ClientHttp2Stream | undefined;
  const end = (): void => {
    if (stream !== undefined) cancel(stream);
  };
  scope.signal.addEventListener("abort", end, { once: true });
  try {
    stream = await openBulkStream(channel, method, scope, { headers });
    const messages = messagesOf(stream, new Answer(stream, channel.connection));
    void sendAll(stream, requests);
    yield* messages;
  } finally {
    scope.end();
    scope.signal.removeEventListener("abort", end);
    end();
  }
  return undefined;
}

/** What is sent last may be lost with the stream, whose status says why. */
async function sendAll(stream: ClientHttp2Stream, requests: AsyncIterable<Uint8Array>): Promise<void> {
  try {
    for await (const request of requests) await writeWithPressure(stream, [messageFrame(request)]);
    stream.end();
  } catch {
    cancel(stream);
  }
}

async function* messagesOf(stream: ClientHttp2Stream, answer: Answer): AsyncGenerator<Uint8Array, undefined> {
  const assembler = new MessageAssembler({ maxBytes: maxMessageBytes });
  try {
    for await (const frames of framesOf(stream)) {
      for (const frame of frames) {
        for (let at = 0; at < frame.length; ) {
          at += assembler.take(frame, at);
          const { message } = assembler;
          // A part of a frame would keep all of that alive, with whatever is made of the message.
          if (message !== undefined) yield message instanceof Buffer ? new Uint8Array(message) : message;
        }
      }
    }
  } catch (error) {
    // A stream that broke says less than the status.
    if (stream.closed || stream.destroyed) await answer.status;
    throw answer.failure ?? error;
  }
  await answer.status;
  if (assembler.isIncomplete) throw new RpcError("internal", "the answer ended in the middle of a message");
  return undefined;
}

async function onlyOne(messages: AsyncGenerator<Uint8Array, undefined>): Promise<Uint8Array> {
  const first = await messages.next();
  if (first.done === true) throw new RpcError("internal", "the answer holds no message");
  if ((await messages.next()).done !== true) {
    throw new RpcError("internal", "the answer is not exactly one message");
  }
  return first.value;
}
