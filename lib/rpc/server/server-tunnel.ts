/**
 * The runner's end of one tunnel.
 *
 * Orders wait in a bounded queue for the HTTP/2 stream to take them. Sending never waits for a builder: when the queue
 * is full the builder has stopped reading, and the tunnel is closed, which counts as a lost machine.
 */
import { constants } from "node:http2";
import { toBinary } from "@bufbuild/protobuf";
import type { Logger } from "../../log.js";
import { orderToWire, pingFromWire } from "../convert/index.js";
import { RpcError } from "../errors.js";
import {
  type BuilderRequest,
  type RunnerRequest,
  RunnerRequestSchema,
} from "../gen/runner/v1/streaming_pb.js";
import { maxMessageBytes, messageFrame } from "../stream/index.js";
import type { BuilderPing, Peer, RunnerOrder, TunnelConnection } from "../types.js";
import type { ServerCall } from "./serve-call.js";
import type { TunnelRequests } from "./tunnel-requests.js";

/** How long a closed tunnel may take to say so before the stream is reset. */
const closingMs = 2_000;

/** The call that carries a tunnel. */
export interface ServerTunnelOptions {
  readonly call: ServerCall;
  /** What follows the join. */
  readonly requests: TunnelRequests;
  readonly queueLimit: number;
  readonly logger: Logger;
}

/** An open tunnel, as its handler sees it. Thousands may be open, so it makes only what is asked for. */
export class ServerTunnel implements TunnelConnection {
  readonly peer: Peer;
  /** Resolves when nothing more goes down; rejects with the error that the call ends with. */
  readonly over: Promise<void>;
  readonly #options: ServerTunnelOptions;
  readonly #queue: RunnerRequest[] = [];
  /** The stream takes no more until it has drained. */
  #blocked = false;
  /** Set when no further orders are taken; those queued still go out. */
  #finishing = false;
  #endReason: string | undefined;
  #aborter: AbortController | undefined;
  #closed: { readonly promise: Promise<string>; readonly resolve: (reason: string) => void } | undefined;
  #settle: (failure: RpcError | undefined) => void = () => {};

  constructor(options: ServerTunnelOptions) {
    this.#options = options;
    const { peer, signal } = options.call;
    this.peer = peer;
    this.over = new Promise((resolve, reject) => {
      this.#settle = (failure) => (failure === undefined ? resolve() : reject(failure));
    });
    const onAbort = (): void => this.#end("the builder left", undefined);
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
  }

  get messages(): AsyncIterable<BuilderPing> {
    return { [Symbol.asyncIterator]: () => ({ next: () => this.#nextPing() }) };
  }

  get closed(): Promise<string> {
    if (this.#closed === undefined) {
      let resolve: (reason: string) => void = () => {};
      const promise = new Promise<string>((settle) => {
        resolve = settle;
      });
      this.#closed = { promise, resolve };
      if (this.#endReason !== undefined) resolve(this.#endReason);
    }
    return this.#closed.promise;
  }

  get signal(): AbortSignal {
    if (this.#aborter === undefined) {
      this.#aborter = new AbortController();
      if (this.#endReason !== undefined) this.#aborter.abort(new RpcError("cancelled", this.#endReason));
    }
    return this.#aborter.signal;
  }

  /** @throws RpcError `invalid-argument` or `resource-exhausted` when the wire cannot carry the order */
  send(order: RunnerOrder): boolean {
    const message = orderToWire(order);
    checkSize(message);
    if (this.#endReason !== undefined || this.#finishing) return false;
    if (this.#queue.length >= this.#options.queueLimit) {
      this.close("the builder does not read its orders");
      // Its window is shut, so that no trailers would get through either.
      this.#options.call.stream.close(constants.NGHTTP2_CANCEL);
      return false;
    }
    this.#queue.push(message);
    this.#flush();
    return true;
  }

  close(reason: string): void {
    this.#end(reason, new RpcError("unavailable", reason));
  }

  /** The handler is done: what is queued goes out, then the call ends well. */
  finish(): void {
    this.#finishing = true;
    this.#flush();
  }

  /** The handler failed: the call ends with its error. */
  fail(error: RpcError): void {
    this.#end(error.message, error);
  }

  #flush(): void {
    const { stream, meter } = this.#options.call;
    while (!this.#blocked) {
      const message = this.#queue.shift();
      if (message === undefined) break;
      if (stream.closed || stream.destroyed || stream.writableEnded) {
        this.#end("the builder left", undefined);
        return;
      }
      const frame = messageFrame(toBinary(RunnerRequestSchema, message));
      if (frame.length > maxMessageBytes) {
        this.fail(new RpcError("resource-exhausted", `an order of ${frame.length} bytes exceeds the limit`));
        return;
      }
      meter.bytesOut += frame.length;
      if (stream.write(frame) || !stream.writableNeedDrain) continue;
      this.#blocked = true;
      stream.once("drain", () => {
        this.#blocked = false;
        this.#flush();
      });
    }
    if (this.#finishing && this.#queue.length === 0 && !this.#blocked)
      this.#end("the tunnel ended", undefined);
  }

  #end(reason: string, failure: RpcError | undefined): void {
    if (this.#endReason !== undefined) return;
    this.#endReason = reason;
    this.#queue.length = 0;
    this.#options.requests.stop();
    this.#aborter?.abort(new RpcError("cancelled", reason));
    this.#closed?.resolve(reason);
    this.#settle(failure);
    const { stream } = this.#options.call;
    const reset = setTimeout(() => {
      if (!stream.closed) stream.close(constants.NGHTTP2_CANCEL);
    }, closingMs);
    reset.unref();
    stream.once("close", () => clearTimeout(reset));
  }

  async #nextPing(): Promise<IteratorResult<BuilderPing, undefined>> {
    for (;;) {
      const request = await this.#options.requests.next().catch((cause: unknown) => {
        throw new RpcError("cancelled", "the tunnel broke", { cause });
      });
      if (request === undefined) return { done: true, value: undefined };
      const ping = this.#pingOf(request);
      if (ping !== undefined) return { done: false, value: ping };
    }
  }

  /** A second join and messages of a newer builder are passed over. */
  #pingOf({ message }: BuilderRequest): BuilderPing | undefined {
    if (message.case !== "ping") return undefined;
    try {
      return pingFromWire(message.value);
    } catch (error) {
      this.#options.logger.warn("ping ignored", { peer: this.peer.address, error });
      return undefined;
    }
  }
}

/** Only a derivation can be large; it is measured before it could break the tunnel. */
function checkSize({ message }: RunnerRequest): void {
  if (message.case !== "build" || message.value.resolvedDrv === undefined) return;
  const { args, env, inputs, structuredAttrs = "" } = message.value.resolvedDrv;
  let size = 3 * structuredAttrs.length;
  for (const arg of args) size += arg.length + 8;
  for (const [key, value] of Object.entries(env)) size += 3 * key.length + value.length + 16;
  for (const { path } of inputs) size += path.length + 12;
  if (size > maxMessageBytes - 65_536) {
    throw new RpcError(
      "resource-exhausted",
      `the derivation is too large for one message (about ${size} bytes)`,
    );
  }
}
