/** Work that arrives in bursts, done a little in each turn of the event loop, so that it does not keep all else waiting. */

/**
 * Queues of work by cause. Each turn of the event loop takes at most `perTurn` pieces of it, one from each queue in
 * rotation, so that neither a burst nor a long queue keeps everything else waiting.
 */
export class FairTurns<K> {
  readonly #perTurn: number;
  /** The queue at the front has waited longest; none is empty. */
  readonly #queues = new Map<K, (() => void)[]>();
  readonly #schedule = oncePerTurn(() => this.#run());

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

/**
 * Counts work in units of its own, bytes for example. Who asks goes on at once while the turn's share lasts; after that
 * each waits, in order of asking, for a turn with something left. One piece may be larger than the share.
 */
export class TurnShare {
  readonly #perTurn: number;
  readonly #waiting: { readonly units: number; readonly goOn: () => void }[] = [];
  readonly #schedule = oncePerTurn(() => this.#next());
  #left: number;

  /** `perTurn`: units in one turn, above 0. */
  constructor(perTurn: number) {
    this.#perTurn = perTurn;
    this.#left = perTurn;
  }

  /** Undefined when the work may be done at once, or a promise to wait for before it is. */
  take(units: number): Promise<void> | undefined {
    this.#schedule();
    if (this.#left > 0 && this.#waiting.length === 0) {
      this.#left -= units;
      return undefined;
    }
    return new Promise((goOn) => this.#waiting.push({ units, goOn }));
  }

  #next(): void {
    this.#left = this.#perTurn;
    let served = 0;
    for (const { units, goOn } of this.#waiting) {
      if (this.#left <= 0) break;
      this.#left -= units;
      served++;
      goOn();
    }
    this.#waiting.splice(0, served);
    // What was used now counts until the next turn.
    if (served > 0) this.#schedule();
  }
}

/** Calls `run` once at the end of the turn, however often it is asked for. */
function oncePerTurn(run: () => void): () => void {
  let scheduled = false;
  return () => {
    if (scheduled) return;
    scheduled = true;
    setImmediate(() => {
      scheduled = false;
      run();
    });
  };
}
