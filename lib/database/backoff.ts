/** Waiting between attempts: each delay is up to twice the one before, with some chance so that peers spread out. */
import { setTimeout as sleep } from "node:timers/promises";

export class Backoff {
  readonly #firstMs: number;
  readonly #longestMs: number;
  #attempt = 0;

  constructor(firstMs: number, longestMs: number) {
    this.#firstMs = firstMs;
    this.#longestMs = longestMs;
  }

  reset(): void {
    this.#attempt = 0;
  }

  /** Rejects with the signal's reason when it is aborted. */
  async wait(signal?: AbortSignal): Promise<void> {
    const longest = Math.min(this.#longestMs, this.#firstMs * 2 ** this.#attempt);
    this.#attempt = Math.min(this.#attempt + 1, 30);
    const delay = longest / 2 + Math.random() * (longest / 2);
    try {
      await sleep(delay, undefined, signal === undefined ? {} : { signal });
    } catch (error) {
      signal?.throwIfAborted();
      throw error;
    }
  }
}
