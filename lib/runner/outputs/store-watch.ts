/** Which remote stores do not answer: said once when it begins and ends, and asked again until they do. */
import { Backoff } from "../../async/index.js";
import { type BinaryCache, BinaryCacheError } from "../../binary-cache/index.js";
import { errorChain } from "../../errors.js";
import type { Logger } from "../../log.js";

/** A store that does not work, for `/health`. */
export interface StoreProblem {
  readonly part: "store";
  readonly reason: string;
}

/** What is watched of a cache. */
export type WatchedCache = Pick<BinaryCache, "name" | "confirmed" | "confirm" | "silence">;

interface Trouble {
  /** Milliseconds since the epoch. */
  readonly since: number;
  readonly error: string | undefined;
}

const firstPauseMs = 1_000;
const longestPauseMs = 30_000;

/** Watches caches from their opening until `close`. */
export class StoreWatch {
  readonly #logger: Logger;
  readonly #closed = new AbortController();
  readonly #troubles = new Map<WatchedCache, Trouble>();

  constructor(caches: readonly WatchedCache[], logger: Logger) {
    this.#logger = logger;
    for (const cache of caches) {
      cache.silence?.onBegin(() => this.#follow(cache));
      if (!cache.confirmed || cache.silence?.since !== undefined) this.#follow(cache);
    }
  }

  /** Stores that do not answer, or are not usable. */
  problems(): readonly StoreProblem[] {
    return [...this.#troubles].map(([{ name }, { since, error }]) => ({
      part: "store",
      reason:
        `the binary cache ${name} has not answered since ${new Date(since).toISOString()}; uploads wait for it` +
        (error === undefined ? "" : ` (${error})`),
    }));
  }

  /** Ends the watch. */
  close(): void {
    this.#closed.abort(new Error("the binary caches were closed"));
  }

  #follow(cache: WatchedCache): void {
    if (this.#troubles.has(cache) || this.#closed.signal.aborted) return;
    this.#troubles.set(cache, { since: cache.silence?.since ?? Date.now(), error: undefined });
    this.#logger.warn("the binary cache does not answer; uploads wait for it", { cache: cache.name });
    void this.#askUntilItAnswers(cache);
  }

  async #askUntilItAnswers(cache: WatchedCache): Promise<void> {
    const { signal } = this.#closed;
    const backoff = new Backoff({ firstMs: firstPauseMs, longestMs: longestPauseMs });
    try {
      for (;;) {
        await backoff.wait(signal);
        try {
          await cache.confirm({ signal });
          break;
        } catch (error) {
          const since = this.#troubles.get(cache)?.since ?? Date.now();
          const wrong = error instanceof BinaryCacheError && error.code === "wrong-store";
          const known = this.#troubles.get(cache)?.error !== undefined;
          if (wrong && !known) this.#logger.error("the binary cache cannot be used", { error });
          this.#troubles.set(cache, { since, error: errorChain(error) });
        }
      }
    } catch {
      // Closed.
      return;
    }
    this.#troubles.delete(cache);
    this.#logger.info("the binary cache answers again", { cache: cache.name });
  }
}
