/** Mutual exclusion between asynchronous pieces of work. */

/** One holder at a time, first come first served; `urgent` holders go before the others. Not reentrant. */
export class Mutex {
  #held = false;
  readonly #urgent: (() => void)[] = [];
  readonly #waiting: (() => void)[] = [];

  /** Runs `work` when it holds the mutex, and frees it when `work` settles. @throws what `work` throws */
  async run<T>(work: () => Promise<T>, options?: { readonly urgent?: boolean }): Promise<T> {
    if (this.#held) {
      await new Promise<void>((resolve) =>
        (options?.urgent === true ? this.#urgent : this.#waiting).push(resolve),
      );
    }
    this.#held = true;
    try {
      return await work();
    } finally {
      const next = this.#urgent.shift() ?? this.#waiting.shift();
      if (next === undefined) this.#held = false;
      else next();
    }
  }
}
