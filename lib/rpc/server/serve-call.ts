/**
 * What all calls have in common: deadline, cancellation, the bytes of messages that they hold, and how they end.
 *
 * An error becomes trailers with its status. A caller that is still sending when the answer is complete gets a reset.
 */
import {
  constants,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type ServerHttp2Stream,
} from "node:http2";
import { withSignal } from "../../async/index.js";
import type { PieceUse } from "../../compression/index.js";
import { RpcError } from "../errors.js";
import { principalKey } from "../principal.js";
import {
  encodeGrpcMessage,
  maxMessageBytes,
  messageFrame,
  readMessages,
  writeThrough,
  writeWithPressure,
} from "../stream/index.js";
import type { CallContext, Peer } from "../types.js";
import { CallMeter, type CallReporter } from "./call.js";
import { deadlineOf } from "./deadline.js";
import type { MessageBudget, MessageHold } from "./message-budget.js";

/** An incomplete message of which nothing arrives for so long ends its call. */
const stalledMs = 30_000;
/** How long a call that failed may take to say so before its stream is reset. */
const closingMs = 2_000;

/** One call on its way. */
export interface ServerCall extends CallContext {
  readonly stream: ServerHttp2Stream;
  readonly headers: IncomingHttpHeaders;
  readonly meter: CallMeter;
  /** The bytes of its messages that are in memory. */
  readonly hold: MessageHold;
  /** Bytes arrived; `incomplete`: they end inside a message that is being assembled. */
  readonly onPiece: (bytes: number, incomplete: boolean) => void;
}

/** What all calls of a server share. */
export interface ServeOptions extends CallReporter {
  readonly budget: MessageBudget;
  /** Does the work of ending a call whose caller is gone, soon: one connection can take hundreds of calls with it. */
  readonly cutLater: (work: () => void) => void;
}

// Reasons given to everything that ends with a call; made once, because an error with its stack for each is not cheap.
const over = new RpcError("cancelled", "the call is over");
const gone = new RpcError("cancelled", "the caller went away");

/** Runs one call and answers it. Never rejects: the answer carries the error. */
export async function serveCall(
  options: ServeOptions,
  about: {
    readonly method: string;
    readonly peer: Peer;
    readonly stream: ServerHttp2Stream;
    readonly headers: IncomingHttpHeaders;
  },
  run: (call: ServerCall) => Promise<void>,
): Promise<void> {
  const { method, peer, stream, headers } = about;
  const aborter = new AbortController();
  // Errors of a stream close it.
  const abort = (): void => options.cutLater(() => aborter.abort(gone));
  stream.once("aborted", abort);
  stream.once("close", abort);
  const deadline = deadlineOf(headers["grpc-timeout"]);
  const timer =
    deadline === undefined
      ? undefined
      : setTimeout(() => aborter.abort(new RpcError("deadline-exceeded", "the deadline is over")), deadline);
  const hold = options.budget.hold(principalKey(peer.principal), (error) => aborter.abort(error));
  let stalled: NodeJS.Timeout | undefined;
  const meter = new CallMeter(options, method, peer);
  const call: ServerCall = {
    peer,
    signal: aborter.signal,
    stream,
    headers,
    meter,
    hold,
    onPiece: (bytes, incomplete) => {
      meter.bytesIn += bytes;
      clearTimeout(stalled);
      stalled = incomplete
        ? setTimeout(
            () => aborter.abort(new RpcError("deadline-exceeded", "the rest of a message did not arrive")),
            stalledMs,
          )
        : undefined;
    },
  };
  try {
    checkEncoding(headers["grpc-encoding"]);
    await withSignal(run(call), aborter.signal);
    meter.succeeded();
    finish(stream, undefined);
  } catch (error) {
    finish(stream, meter.failed(error));
  } finally {
    clearTimeout(timer);
    clearTimeout(stalled);
    hold.release();
    stream.off("aborted", abort);
    stream.off("close", abort);
    aborter.abort(over);
  }
}

/**
 * The one message of a call whose request is not a stream. It stays in the call's hold.
 *
 * @throws RpcError `internal` when there is none or more than one; what `readMessages` throws
 */
export async function readOneMessage(call: ServerCall, maxBytes: number): Promise<Uint8Array> {
  const messages = readMessages(call.stream, {
    maxBytes,
    onGrow: (bytes) => call.hold.grow(bytes),
    onPiece: call.onPiece,
    signal: call.signal,
  });
  const first = await messages.next();
  if (first.done === true) throw new RpcError("internal", "the request holds no message");
  if ((await messages.next()).done !== true) {
    throw new RpcError("internal", "the request is not exactly one message");
  }
  call.hold.arrived();
  return first.value;
}

/** Sends the head of the answer, once. */
export function startAnswer(stream: ServerHttp2Stream): void {
  if (stream.headersSent || stream.destroyed || stream.closed) return;
  stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
}

/** Sends one message. @throws RpcError `resource-exhausted` when peers could not take it */
export async function sendMessage(call: ServerCall, message: Uint8Array): Promise<void> {
  if (message.length > maxMessageBytes) {
    throw new RpcError("resource-exhausted", `an answer of ${message.length} bytes exceeds the limit`);
  }
  startAnswer(call.stream);
  await sendPieces(call, [messageFrame(message)]);
}

/**
 * Sends pieces of messages, waiting while the peer does not read; those that are lent until they have been sent.
 *
 * @throws the reason why the call is over, also while the peer does not read
 */
export async function sendPieces(
  call: ServerCall,
  pieces: readonly Uint8Array[],
  use: PieceUse = "kept",
): Promise<void> {
  for (const piece of pieces) call.meter.bytesOut += piece.length;
  await withSignal((use === "lent" ? writeThrough : writeWithPressure)(call.stream, pieces), call.signal);
}

function checkEncoding(encoding: string | string[] | undefined): void {
  if (encoding === undefined || encoding === "identity") return;
  throw new RpcError("unimplemented", `message encoding ${String(encoding)} is not supported`);
}

function finish(stream: ServerHttp2Stream, error: RpcError | undefined): void {
  if (stream.destroyed || stream.closed) return;
  startAnswer(stream);
  const trailers: OutgoingHttpHeaders =
    error === undefined
      ? { "grpc-status": "0" }
      : { "grpc-status": String(error.number), "grpc-message": encodeGrpcMessage(error.message) };
  stream.once("wantTrailers", () => {
    stream.sendTrailers(trailers);
    // A caller that is still sending gets a reset; its stream would never close.
    setImmediate(() => {
      if (!stream.closed && !stream.readableEnded) stream.close(constants.NGHTTP2_NO_ERROR);
    });
  });
  stream.end();
  if (error !== undefined) closeSoon(stream);
}

/** A peer that has shut its window would get no trailers, and the stream would keep what waits to be sent. */
function closeSoon(stream: ServerHttp2Stream): void {
  const timer = setTimeout(() => {
    if (!stream.closed) stream.close(constants.NGHTTP2_CANCEL);
  }, closingMs);
  timer.unref();
  stream.once("close", () => clearTimeout(timer));
}
