/** One call on its way: who makes it, on which stream, and what is told about it when it is over. */
import type { ServerHttp2Stream } from "node:http2";
import { type ContextKey, createContextKey } from "@connectrpc/connect";
import type { Logger } from "../../log.js";
import { RpcError, type RpcStatus } from "../errors.js";
import type { Peer } from "../types.js";

/** For metrics: a call that is over. */
export interface RpcCallRecord {
  readonly method: string;
  readonly status: "ok" | RpcStatus;
  readonly durationMs: number;
  /** Bytes of messages, envelopes included; counted for the bulk methods only. */
  readonly bytesIn: number;
  readonly bytesOut: number;
}

export interface ServerCall {
  readonly peer: Peer;
  readonly stream: ServerHttp2Stream;
}

/** Carries the call through the gRPC library to its handler. */
export const serverCallKey: ContextKey<ServerCall | undefined> = createContextKey<ServerCall | undefined>(
  undefined,
);

export interface CallReporter {
  readonly logger: Logger;
  readonly onCall: ((call: RpcCallRecord) => void) | undefined;
}

/** Measures one call. `end` returns the error to answer with, if any. */
export class CallMeter {
  bytesIn = 0;
  bytesOut = 0;
  readonly #reporter: CallReporter;
  readonly #method: string;
  readonly #peer: Peer;
  readonly #started = performance.now();

  constructor(reporter: CallReporter, method: string, peer: Peer) {
    this.#reporter = reporter;
    this.#method = method;
    this.#peer = peer;
  }

  succeeded(): void {
    this.#report("ok");
  }

  /** What is no `RpcError` is a fault of ours and gets logged. */
  failed(thrown: unknown): RpcError {
    const error = RpcError.from(thrown);
    const fields = { method: this.#method, peer: this.#peer.address, status: error.code, error: thrown };
    if (thrown instanceof RpcError) this.#reporter.logger.debug("call refused", fields);
    else this.#reporter.logger.error("call failed", fields);
    this.#report(error.code);
    return error;
  }

  #report(status: "ok" | RpcStatus): void {
    this.#reporter.onCall?.({
      method: this.#method,
      status,
      durationMs: performance.now() - this.#started,
      bytesIn: this.bytesIn,
      bytesOut: this.bytesOut,
    });
  }
}
