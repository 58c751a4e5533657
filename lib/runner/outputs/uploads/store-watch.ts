/**
 * Which remote stores do not answer: a problem from its beginning to its end, and asked again until they do. A store that
 * nothing was asked of for a while is asked a small question, so that its silence is known before an upload needs it.
 */
import { Backoff, pause } from "../../../async/index.js";
import type { BinaryCache } from "../../../binary-cache/index.js";
import type { ProblemReporter } from "../../state/problems.js";

/** What is watched of a cache. */
type WatchedCache = Pick<BinaryCache, "name" | "confirmed" | "confirm" | "silence">;

const firstPauseMs = 1_000;
const longestPauseMs = 30_000;
const defaultProbeEveryMs = 30_000;

/** Watches caches from their opening until `close`. */
export class StoreWatch {
  readonly #problems: ProblemReporter;
  readonly #closed = new AbortController();
  readonly #followed = new Set<WatchedCache>();

  /** `probeEveryMs`: pause between two questions to a store that answers, in milliseconds; default 30 s. */
  constructor(
    caches: readonly WatchedCache[],
    problems: ProblemReporter,
    { probeEveryMs = defaultProbeEveryMs }: { readonly probeEveryMs?: number } = {},
  ) {
    this.#problems = problems;
    for (const cache of caches) {
      cache.silence?.onBegin(() => this.#follow(cache));
      if (!cache.confirmed || cache.silence?.since !== undefined) this.#follow(cache);
      // Folders always answer.
      if (cache.silence !== undefined) void this.#probe(cache, probeEveryMs);
    }
  }

  /** Ends the watch. */
  close(): void {
    this.#closed.abort(new Error("the binary caches were closed"));
  }

  async #probe(cache: WatchedCache, everyMs: number): Promise<void> {
    const { signal } = this.#closed;
    while (!signal.aborted) {
      await pause(everyMs, { signal, ref: false });
      if (signal.aborted || this.#followed.has(cache)) continue;
      // Silence is noted by the cache itself; an answer that is an error is the business of those who need the store.
      await cache.confirm({ signal }).catch(() => undefined);
    }
  }

  #follow(cache: WatchedCache): void {
    if (this.#followed.has(cache) || this.#closed.signal.aborted) return;
    this.#followed.add(cache);
    this.#problems.begin({ code: "cache-silent", subject: cache.name, cause: "it does not answer" });
    void this.#askUntilItAnswers(cache);
  }

  async #askUntilItAnswers(cache: WatchedCache): Promise<void> {
    const { signal } = this.#closed;
    const backoff = new Backoff({ firstMs: firstPauseMs, longestMs: longestPauseMs });
    while (!signal.aborted) {
      try {
        await backoff.wait(signal);
        await cache.confirm({ signal });
        break;
      } catch (cause) {
        if (signal.aborted) return;
        this.#problems.begin({ code: "cache-silent", subject: cache.name, cause });
      }
    }
    this.#followed.delete(cache);
    this.#problems.end("cache-silent", cache.name);
  }
}
