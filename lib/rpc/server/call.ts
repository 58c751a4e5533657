/** What is noted of a call: its duration, its bytes and how it ended. */
import type { Logger } from "../../log.js";
import { RpcError, type RpcStatus } from "../errors.js";
import type { Peer } from "../types.js";

/** For metrics: a call that is over. */
export interface RpcCallRecord {
  readonly method: string;
  readonly status: "ok" | RpcStatus;
  readonly durationMs: number;
  /** Bytes of messages, envelopes included. */
  readonly bytesIn: number;
  readonly bytesOut: number;
}

/** Where calls are noted. */
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

  /** Anything but an `RpcError` is a fault of ours and is logged as an error. */
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
