/**
 * The connection to the runner as builds see it: it may go away for a while and come back.
 *
 * With a runner that takes builders back, a call that was cut off is made again once we have rejoined; calls must
 * therefore be such that doing them twice is harmless. With any other runner a cut ends every build, through the
 * build's own signal.
 */
import { atMost, withSignal } from "../../async/index.js";
import { RpcError, UnprocessedCallError } from "../../rpc/errors.js";
import type { RunnerApi } from "../../rpc/types.js";

/** A dead connection fails its calls a little before its tunnel ends. */
const settleMs = 5000;
/** How often one call is made again because it was not processed: proxies may close many connections in a row. */
const maxUnprocessed = 20;

/** Holds the connection while there is one, and makes calls on it for builds that outlive it. */
export class RunnerLink {
  #api: RunnerApi | undefined;
  #resumable = false;
  #changed: () => void = () => {};
  #change: Promise<void>;

  constructor() {
    this.#change = this.#nextChange();
  }

  get connected(): boolean {
    return this.#api !== undefined;
  }

  /** Whether the runner we are (or were) joined to takes us back with our builds. */
  get resumable(): boolean {
    return this.#resumable;
  }

  attach(api: RunnerApi, resumable: boolean): void {
    this.#api = api;
    this.#resumable = resumable;
    this.#announce();
  }

  detach(): void {
    this.#api = undefined;
    this.#announce();
  }

  /**
   * Makes a call, waiting for a connection first, and again after each loss of one. One that the runner certainly has
   * not processed is made again at once.
   * @throws RpcError, or the signal's reason when it fires
   */
  async call<T>(work: (api: RunnerApi) => Promise<T>, signal: AbortSignal): Promise<T> {
    let unprocessed = 0;
    for (;;) {
      const api = await this.#connection(signal);
      try {
        return await work(api);
      } catch (error) {
        signal.throwIfAborted();
        if (error instanceof UnprocessedCallError && unprocessed++ < maxUnprocessed) continue;
        if (!this.#resumable || !isCut(error) || !(await this.#isGone(api, signal))) throw error;
      }
    }
  }

  async #connection(signal: AbortSignal): Promise<RunnerApi> {
    for (;;) {
      signal.throwIfAborted();
      if (this.#api !== undefined) return this.#api;
      await withSignal(this.#change, signal);
    }
  }

  async #isGone(api: RunnerApi, signal: AbortSignal): Promise<boolean> {
    if (this.#api === api) await withSignal(atMost(this.#change, settleMs), signal);
    return this.#api !== api;
  }

  #announce(): void {
    const changed = this.#changed;
    this.#change = this.#nextChange();
    changed();
  }

  #nextChange(): Promise<void> {
    return new Promise((resolve) => {
      this.#changed = resolve;
    });
  }
}

/** What a call ends with when its connection is lost, here or by the runner's shutdown. */
function isCut(error: unknown): boolean {
  return error instanceof RpcError && (error.code === "unavailable" || error.code === "cancelled");
}
