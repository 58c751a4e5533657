/**
 * What a builder sends up its tunnel, message by message. Thousands of tunnels are open at a time, and most of them are
 * silent most of the time, so one that waits keeps little: a listener, and one promise at most.
 */
import { RpcError } from "../errors.js";
import { type BuilderRequest, BuilderRequestSchema } from "../gen/runner/v1/streaming_pb.js";
import { checkRequestEnd, MessageAssembler } from "../stream/index.js";
import { decode, decodeNow, isDecodedAtOnce } from "./decode.js";
import { smallMessageBytes } from "./message-budget.js";
import type { ServerCall } from "./serve-call.js";

/** Largest message of a builder in its tunnel: a join with long lists of features and substituters has some KiB. */
const maxTunnelMessageBytes = smallMessageBytes;
/** Messages that may wait for their reader; with more, the builder has to wait. */
const readyAtMost = 64;

interface Waiting {
  readonly resolve: (request: BuilderRequest | undefined) => void;
  readonly reject: (error: RpcError) => void;
}

/** Reads one tunnel. */
export class TunnelRequests {
  readonly #call: ServerCall;
  readonly #messages: MessageAssembler;
  readonly #ready: BuilderRequest[] = [];
  /** What arrived while a large message was being decoded. */
  readonly #unread: Uint8Array[] = [];
  #decoding = false;
  #waiting: Waiting | undefined;
  /** Nothing follows what is ready. */
  #ended = false;
  #failure: RpcError | undefined;

  /** `call` is read from now on. */
  constructor(call: ServerCall) {
    this.#call = call;
    this.#messages = new MessageAssembler({
      maxBytes: maxTunnelMessageBytes,
      onGrow: (bytes) => call.hold.grow(bytes),
    });
    const { stream, signal } = call;
    stream.on("data", (chunk: Uint8Array) => this.#take(chunk));
    stream.once("end", () => void this.#streamEnded());
    const onAbort = (): void => this.#broke(stream.errored);
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
  }

  /**
   * The next message; undefined at the end of the tunnel. One call at a time.
   *
   * @throws RpcError `out-of-range` for a message over the limit, `internal` for one that cannot be read, `cancelled`
   *   when the tunnel breaks off, `resource-exhausted` when there is no room for it
   */
  next(): Promise<BuilderRequest | undefined> {
    const request = this.#ready.shift();
    if (request !== undefined) {
      if (this.#ready.length === readyAtMost - 1) this.#call.stream.resume();
      return Promise.resolve(request);
    }
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (this.#ended) return Promise.resolve(undefined);
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
    });
  }

  /** Nothing more is wanted: what waits gets its end, and what arrives is dropped. */
  stop(): void {
    this.#ready.length = 0;
    this.#end(undefined);
    this.#call.stream.resume();
  }

  #take(chunk: Uint8Array): void {
    if (this.#ended) return;
    this.#unread.push(chunk);
    if (this.#decoding) this.#call.stream.pause();
    else this.#read();
  }

  #read(): void {
    try {
      for (let chunk = this.#unread.shift(); chunk !== undefined; chunk = this.#unread.shift()) {
        for (let at = 0; at < chunk.length; ) {
          at += this.#messages.take(chunk, at);
          const { message } = this.#messages;
          if (message === undefined) continue;
          if (isDecodedAtOnce(message)) this.#deliver(decodeNow(BuilderRequestSchema, message));
          else {
            this.#call.onPiece(at, false);
            if (at < chunk.length) this.#unread.unshift(chunk.subarray(at));
            void this.#decode(message);
            return;
          }
        }
        this.#call.onPiece(chunk.length, this.#messages.isIncomplete);
      }
    } catch (error) {
      this.#end(RpcError.from(error));
    }
  }

  async #decode(message: Uint8Array): Promise<void> {
    this.#decoding = true;
    try {
      const request = await decode(BuilderRequestSchema, message);
      this.#decoding = false;
      this.#deliver(request);
      if (this.#ready.length < readyAtMost) this.#call.stream.resume();
      this.#read();
    } catch (error) {
      this.#end(RpcError.from(error));
    }
  }

  #deliver(request: BuilderRequest): void {
    this.#call.hold.release();
    const waiting = this.#waiting;
    if (waiting !== undefined) {
      this.#waiting = undefined;
      waiting.resolve(request);
    } else if (this.#ready.push(request) >= readyAtMost) this.#call.stream.pause();
  }

  async #streamEnded(): Promise<void> {
    try {
      await checkRequestEnd(this.#call.stream, this.#messages.isIncomplete);
      this.#end(undefined);
    } catch (error) {
      this.#end(RpcError.from(error));
    }
  }

  #broke(cause: Error | null): void {
    this.#end(new RpcError("cancelled", "the request broke off", { cause: cause ?? undefined }));
  }

  #end(failure: RpcError | undefined): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#failure = failure;
    this.#unread.length = 0;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (failure === undefined) waiting?.resolve(undefined);
    else waiting?.reject(failure);
  }
}
