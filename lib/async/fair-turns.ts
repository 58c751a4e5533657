/** Work that arrives in bursts, done a little in each turn of the event loop, by turns between those that cause it. */

/**
 * Queues of work by cause. Each turn of the event loop takes at most `perTurn` pieces of it, one from each queue in
 * rotation, so that neither a burst nor a long queue keeps everything else waiting.
 */
export class FairTurns<K> {
  readonly #perTurn: number;
  /** The queue at the front has waited longest; none is empty. */
  readonly #queues = new Map<K, (() => void)[]>();
  #scheduled = false;

  /** `perTurn`: pieces of work in one turn, at least 1. */
  constructor(perTurn: number) {
    this.#perTurn = perTurn;
  }

  /** Does `work`, which must not throw, later in this turn or in one of the next. In order for each `cause`. */
  add(cause: K, work: () => void): void {
    const queue = this.#queues.get(cause);
    if (queue === undefined) this.#queues.set(cause, [work]);
    else queue.push(work);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#run();
    });
  }

  #run(): void {
    for (let left = this.#perTurn; left > 0; left--) {
      const next = this.#queues.entries().next();
      if (next.done === true) return;
      const [cause, queue] = next.value;
      const work = queue.shift();
      this.#queues.delete(cause);
      if (queue.length > 0) this.#queues.set(cause, queue);
      work?.();
    }
    if (this.#queues.size > 0) this.#schedule();
  }
}
