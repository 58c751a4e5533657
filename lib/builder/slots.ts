/** A bounded number of things at once, served in order. The bound may change while somebody waits. */
export class Slots {
  #limit: number;
  #taken = 0;
  readonly #waiting = new Set<() => void>();

  constructor(limit: number) {
    this.#limit = Math.max(1, limit);
  }

  set limit(limit: number) {
    this.#limit = Math.max(1, limit);
    this.#serve();
  }

  /** Runs `work` when there is room. @throws the signal's reason when it fires while waiting */
  async use<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    await this.#take(signal);
    try {
      return await work();
    } finally {
      this.#taken--;
      this.#serve();
    }
  }

  /** Does `work` for all items within the bound; the first error ends it, after what runs has settled. */
  async map<Item, Result>(
    items: readonly Item[],
    work: (item: Item) => Promise<Result>,
    signal?: AbortSignal,
  ): Promise<Result[]> {
    let first: { readonly error: unknown } | undefined;
    const outcomes = await Promise.allSettled(
      items.map((item) =>
        this.use(async () => {
          if (first !== undefined) throw first.error;
          try {
            return await work(item);
          } catch (error) {
            first ??= { error };
            throw error;
          }
        }, signal),
      ),
    );
    return outcomes.map((outcome) => {
      if (outcome.status === "rejected") throw first === undefined ? outcome.reason : first.error;
      return outcome.value;
    });
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
