/** How long a call may live: until its caller gives up, its deadline has passed, or its work is done. */
import { RpcError } from "../errors.js";
import type { CallOptions } from "../types.js";

/** The life of one call: one signal for its caller's signal and its deadline. Call `end` when it is over. */
export class CallScope {
  /** Its reason is an `RpcError`. */
  readonly signal: AbortSignal;
  readonly #aborter = new AbortController();
  readonly #caller: AbortSignal | undefined;
  readonly #timer: NodeJS.Timeout | undefined;

  constructor(options: CallOptions = {}) {
    const { signal, timeoutMs } = options;
    this.signal = this.#aborter.signal;
    this.#caller = signal;
    if (timeoutMs !== undefined) {
      this.#timer = setTimeout(
        () => this.#aborter.abort(new RpcError("deadline-exceeded", `no answer within ${timeoutMs} ms`)),
        timeoutMs,
      );
    }
    if (signal?.aborted === true) this.#onAbort();
    else signal?.addEventListener("abort", this.#onAbort, { once: true });
  }

  /** @throws RpcError */
  check(): void {
    this.signal.throwIfAborted();
  }

  /** The call is over, however it ended. */
  end(): void {
    clearTimeout(this.#timer);
    this.#caller?.removeEventListener("abort", this.#onAbort);
  }

  readonly #onAbort = (): void => {
    this.#aborter.abort(new RpcError("cancelled", "the call was given up", { cause: this.#caller?.reason }));
  };
}

/** `grpc-timeout` has at most eight digits. */
export function timeoutHeader(timeoutMs: number): string {
  const ms = Math.max(1, Math.ceil(timeoutMs));
  return ms < 1e8 ? `${ms}m` : `${Math.min(99_999_999, Math.ceil(ms / 1000))}S`;
}
