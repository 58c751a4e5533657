/** The builder's end of the tunnel. */

import { create } from "@bufbuild/protobuf";
import type { Logger } from "../../log.js";
import { orderFromWire, pingToWire } from "../convert/index.js";
import { RpcError } from "../errors.js";
import {
  type BuilderRequest,
  BuilderRequestSchema,
  type JoinMessage,
  type RunnerRequest,
} from "../gen/runner/v1/streaming_pb.js";
import type { BuilderPing, BuilderTunnel, RunnerOrder } from "../types.js";

/** What a tunnel needs of its client. */
export interface ClientTunnelOptions {
  readonly logger: Logger;
  /** Turns what the library throws into what callers see. */
  readonly errorOf: (thrown: unknown) => Promise<RpcError>;
  /** A build order that cannot be read: its runner waits for a report on this id. */
  readonly onUnreadableBuild: (buildId: string, error: RpcError) => void;
}

/** An open tunnel, as the builder sees it. */
export class ClientTunnel implements BuilderTunnel {
  readonly orders: AsyncIterable<RunnerOrder>;
  readonly closed: Promise<string>;
  readonly #options: ClientTunnelOptions;
  readonly #ended = new AbortController();
  /** Only the latest: older ones are outdated. */
  #ping: BuilderPing | undefined;
  #wake: () => void = () => {};
  #tellClosed: (reason: string) => void = () => {};
  #answers: AsyncIterator<RunnerRequest> | undefined;
  #first: RunnerOrder | undefined;

  constructor(options: ClientTunnelOptions) {
    this.#options = options;
    this.closed = new Promise((resolve) => {
      this.#tellClosed = resolve;
    });
    this.orders = this.#readOrders();
  }

  /** Ends the call when it fires. */
  get signal(): AbortSignal {
    return this.#ended.signal;
  }

  /** What goes up: the join at once, then pings until the tunnel is over. */
  async *requests(join: JoinMessage): AsyncGenerator<BuilderRequest, undefined> {
    yield create(BuilderRequestSchema, { message: { case: "join", value: join } });
    while (!this.signal.aborted) {
      const ping = this.#ping;
      this.#ping = undefined;
      if (ping !== undefined) {
        yield create(BuilderRequestSchema, { message: { case: "ping", value: pingToWire(ping) } });
        continue;
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return undefined;
  }

  /** Resolves when the runner has taken the join. @throws RpcError */
  async join(answers: AsyncIterable<RunnerRequest>): Promise<void> {
    this.#answers = answers[Symbol.asyncIterator]();
    try {
      const answer = await this.#answers.next();
      if (answer.done === true) throw new RpcError("unavailable", "the runner ended the tunnel at once");
      this.#first = this.#orderOf(answer.value);
      if (this.#first?.kind !== "joinResponse") {
        throw new RpcError("internal", "the runner did not answer the join");
      }
    } catch (error) {
      const failure = await this.#options.errorOf(error);
      this.#end(failure.message);
      throw failure;
    }
  }

  sendPing(ping: BuilderPing): void {
    this.#ping = ping;
    this.#wake();
  }

  close(): void {
    this.#end("we left");
  }

  #end(reason: string): void {
    if (this.signal.aborted) return;
    this.#tellClosed(reason);
    this.#ended.abort(new RpcError("cancelled", reason));
    this.#wake();
  }

  async *#readOrders(): AsyncGenerator<RunnerOrder, undefined> {
    const answers = this.#answers;
    if (answers === undefined) throw new TypeError("the tunnel has not been opened yet");
    try {
      if (this.#first !== undefined) yield this.#first;
      while (!this.signal.aborted) {
        const result = await answers.next();
        if (result.done === true) break;
        const order = this.#orderOf(result.value);
        if (order !== undefined) yield order;
      }
      this.#end("the runner ended the tunnel");
    } catch (thrown) {
      if (this.signal.aborted) return undefined;
      const error = await this.#options.errorOf(thrown);
      this.#end(error.message);
      throw error;
    } finally {
      // A consumer that stops reading has left; the library would keep the call open.
      this.close();
    }
    return undefined;
  }

  #orderOf(message: RunnerRequest): RunnerOrder | undefined {
    try {
      return orderFromWire(message);
    } catch (thrown) {
      const error = RpcError.from(thrown);
      this.#options.logger.error("unreadable order from the runner", { error });
      if (message.message.case === "build") {
        this.#options.onUnreadableBuild(message.message.value.buildId, error);
      }
      return undefined;
    }
  }
}
