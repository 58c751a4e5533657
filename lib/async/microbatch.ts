/** Many small calls made as few large ones. */

/** Bounds of a batch. */
export interface MicrobatchOptions {
  /** Items in one run at most. Default 500. */
  readonly limit?: number | undefined;
}

/**
 * Collects calls that arrive in the same turn of the event loop into one batch.
 *
 * Starting two hundred steps is one transaction instead of two hundred, and a lone step does not wait for others: a
 * batch leaves as soon as the previous one is through.
 */
export class Microbatch<T, R> {
  readonly #run: (items: readonly T[]) => Promise<readonly R[]>;
  readonly #limit: number;
  #queue: { item: T; resolve: (result: R) => void; reject: (error: unknown) => void }[] = [];
  #active = false;

  /** `run` answers one result per item, in order; when it throws, every call of the batch is rejected. */
  constructor(run: (items: readonly T[]) => Promise<readonly R[]>, options?: MicrobatchOptions) {
    this.#run = run;
    this.#limit = options?.limit ?? 500;
  }

  /** Puts an item into the next batch; resolves with its own result. @throws what the run of its batch throws */
  add(item: T): Promise<R> {
    return new Promise<R>((resolve, reject) => {
      this.#queue.push({ item, resolve, reject });
      if (!this.#active) {
        this.#active = true;
        setImmediate(() => void this.#drain());
      }
    });
  }

  async #drain(): Promise<void> {
    while (this.#queue.length > 0) {
      const batch = this.#queue.splice(0, this.#limit);
      try {
        const results = await this.#run(batch.map((call) => call.item));
        for (const [index, call] of batch.entries()) call.resolve(results[index] as R);
      } catch (error) {
        for (const call of batch) call.reject(error);
      }
    }
    this.#active = false;
  }
}
