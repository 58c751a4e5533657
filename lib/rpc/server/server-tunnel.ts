/**
 * The runner's end of one tunnel.
 *
 * Orders wait in a bounded queue for the HTTP/2 stream to take them. Sending never waits for a builder: when the queue
 * is full the builder has stopped reading, and the tunnel is closed, which counts as a lost machine.
 */
import { constants, type ServerHttp2Stream } from "node:http2";
import type { Logger } from "../../log.js";
import { orderToWire, pingFromWire } from "../convert/index.js";
import { RpcError } from "../errors.js";
import type { BuilderRequest, RunnerRequest } from "../gen/runner/v1/streaming_pb.js";
import { maxMessageBytes } from "../stream/index.js";
import type { BuilderPing, Peer, RunnerOrder, TunnelConnection } from "../types.js";

/** How long a closed tunnel may take to say so before the stream is reset. */
const closingMs = 2_000;

/** The call that carries a tunnel. */
export interface ServerTunnelOptions {
  readonly peer: Peer;
  readonly stream: ServerHttp2Stream;
  readonly requests: AsyncIterator<BuilderRequest>;
  readonly signal: AbortSignal;
  readonly queueLimit: number;
  readonly logger: Logger;
}

/** An open tunnel, as its handler sees it. */
export class ServerTunnel implements TunnelConnection {
  readonly peer: Peer;
  readonly messages: AsyncIterable<BuilderPing>;
  readonly closed: Promise<string>;
  readonly signal: AbortSignal;
  readonly #options: ServerTunnelOptions;
  readonly #ended = new AbortController();
  readonly #queue: RunnerRequest[] = [];
  #wake: () => void = () => {};
  #tellClosed: (reason: string) => void = () => {};
  /** Set when no further orders are taken; those queued still go out. */
  #finishing = false;
  #failure: RpcError | undefined;

  constructor(options: ServerTunnelOptions) {
    this.#options = options;
    this.peer = options.peer;
    this.signal = this.#ended.signal;
    this.closed = new Promise((resolve) => {
      this.#tellClosed = resolve;
    });
    this.messages = this.#readPings();
    const onAbort = (): void => this.#end("the builder left", undefined);
    if (options.signal.aborted) onAbort();
    else options.signal.addEventListener("abort", onAbort, { once: true });
  }

  /** @throws RpcError `invalid-argument` or `resource-exhausted` when the wire cannot carry the order */
  send(order: RunnerOrder): boolean {
    const message = orderToWire(order);
    checkSize(message);
    if (this.signal.aborted || this.#finishing) return false;
    if (this.#queue.length >= this.#options.queueLimit) {
      this.close("the builder does not read its orders");
      // Its window is shut, so that no trailers would get through either.
      this.#options.stream.close(constants.NGHTTP2_CANCEL);
      return false;
    }
    this.#queue.push(message);
    this.#wake();
    return true;
  }

  close(reason: string): void {
    this.#end(reason, new RpcError("unavailable", reason));
  }

  /** The handler is done: what is queued goes out, then the call ends well. */
  finish(): void {
    this.#finishing = true;
    this.#wake();
  }

  /** The handler failed: the call ends with its error. */
  fail(error: RpcError): void {
    this.#end(error.message, error);
  }

  /** What goes down, until the tunnel is over. @throws RpcError when it was closed or failed */
  async *outgoing(): AsyncGenerator<RunnerRequest, undefined> {
    for (;;) {
      if (this.signal.aborted) break;
      const message = this.#queue.shift();
      if (message !== undefined) {
        yield message;
        continue;
      }
      if (this.#finishing) break;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    this.#end("the tunnel ended", undefined);
    if (this.#failure !== undefined) throw this.#failure;
    return undefined;
  }

  #end(reason: string, failure: RpcError | undefined): void {
    if (this.signal.aborted) return;
    this.#failure = failure;
    this.#queue.length = 0;
    this.#ended.abort(new RpcError("cancelled", reason));
    this.#tellClosed(reason);
    this.#wake();
    const { stream } = this.#options;
    const reset = setTimeout(() => {
      if (!stream.closed) stream.close(constants.NGHTTP2_CANCEL);
    }, closingMs);
    reset.unref();
    stream.once("close", () => clearTimeout(reset));
  }

  async *#readPings(): AsyncGenerator<BuilderPing, undefined> {
    const ended = new Promise<undefined>((resolve) => {
      if (this.signal.aborted) resolve(undefined);
      else this.signal.addEventListener("abort", () => resolve(undefined), { once: true });
    });
    for (;;) {
      const next = this.#options.requests.next();
      next.catch(() => {});
      const result = await Promise.race([next, ended]).catch((cause: unknown) => {
        throw new RpcError("cancelled", "the tunnel broke", { cause });
      });
      if (result === undefined || result.done === true) return undefined;
      const ping = this.#pingOf(result.value);
      if (ping !== undefined) yield ping;
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
