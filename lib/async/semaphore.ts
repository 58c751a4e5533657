/** A bounded number of things at once. */

/** Lets a bounded number of callers in at once, in order of arrival. The bound may change while callers wait. */
export class Semaphore {
  #limit: number;
  #taken = 0;
  readonly #waiting = new Set<() => void>();

  /** `limit`: how many may run at once; at least 1 is taken. */
  constructor(limit: number) {
    this.#limit = Math.max(1, limit);
  }

  /** Changes the bound; a smaller one takes effect as those inside finish. */
  set limit(limit: number) {
    this.#limit = Math.max(1, limit);
    this.#serve();
  }

  /** Runs `work` when there is room. @throws what `work` throws, or the signal's reason when it aborts while waiting */
  async run<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    await this.#take(signal);
    try {
      return await work();
    } finally {
      this.#taken--;
      this.#serve();
    }
  }

  #serve(): void {
    for (const grant of this.#waiting) {
      if (this.#taken >= this.#limit) return;
      this.#waiting.delete(grant);
      this.#taken++;
      grant();
    }
  }

  async #take(signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    if (this.#taken < this.#limit) {
      this.#taken++;
      return;
    }
    await new Promise<void>((resolve, reject) => {
      const onAbort = (): void => {
        this.#waiting.delete(grant);
        reject(signal?.reason as Error);
      };
      const grant = (): void => {
        signal?.removeEventListener("abort", onAbort);
        resolve();
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#waiting.add(grant);
    });
  }
}
