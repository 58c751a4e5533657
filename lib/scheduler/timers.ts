/** The scheduler's only notion of "later": a heap of due times, advanced by the caller. */

import { type HeapItem, IndexedHeap } from "./indexed-heap.js";
import type { Random } from "./random.js";
import type { Effect } from "./types.js";

/** What a timer may use when it fires. */
export interface TimerContext {
  readonly now: number;
  readonly random: Random;
  readonly effects: Effect[];
}

/** Something to be done at a time (`at`, milliseconds since the epoch), once it is set in `Timers`. */
export class Timer implements HeapItem {
  heapIndex = -1;
  at = 0;
  /** Breaks ties, so that the order of firing does not depend on the heap's history. */
  order = 0;

  constructor(readonly fire: (context: TimerContext) => void) {}
}

/** The timers that are set, earliest first; those with the same time fire in the order they were set. */
export class Timers {
  readonly #heap = new IndexedHeap<Timer>((a, b) => a.at < b.at || (a.at === b.at && a.order < b.order));
  #order = 0;

  /** How many are set. */
  get size(): number {
    return this.#heap.size;
  }

  /** When the earliest fires; undefined when none is set. */
  get nextAt(): number | undefined {
    return this.#heap.peek()?.at;
  }

  /** Sets or moves a timer. */
  set(timer: Timer, at: number): void {
    if (timer.heapIndex >= 0) {
      if (timer.at === at) return;
      this.#heap.remove(timer);
    }
    timer.at = at;
    timer.order = this.#order++;
    this.#heap.push(timer);
  }

  /** Takes a timer out; does nothing when it is not set. */
  clear(timer: Timer | undefined): void {
    if (timer !== undefined && timer.heapIndex >= 0) this.#heap.remove(timer);
  }

  /** Fires everything due, earliest first, timers set meanwhile included. */
  run(context: TimerContext): void {
    for (;;) {
      const timer = this.#heap.peek();
      if (timer === undefined || timer.at > context.now) return;
      this.#heap.remove(timer);
      timer.fire(context);
    }
  }
}
