/** Virtual time: values by due time, equal times in the order of insertion. Push and pop cost O(log n). */
/** A queue of what is due. */
export class TimeQueue<T> {
  readonly #heap: { readonly at: number; readonly order: number; readonly value: T }[] = [];
  #order = 0;

  /** Values in the queue. */
  get size(): number {
    return this.#heap.length;
  }

  /** Adds a value that is due at `at`. */
  push(at: number, value: T): void {
    const entry = { at, order: this.#order++, value };
    let index = this.#heap.push(entry) - 1;
    while (index > 0) {
      const above = (index - 1) >> 1;
      const parent = this.#heap[above];
      if (parent === undefined || !before(entry, parent)) break;
      this.#heap[index] = parent;
      index = above;
    }
    this.#heap[index] = entry;
  }

  /** Takes what is due first; undefined when the queue is empty. */
  pop(): { readonly at: number; readonly value: T } | undefined {
    const first = this.#heap[0];
    const last = this.#heap.pop();
    if (first === undefined || last === undefined || this.#heap.length === 0) return first;
    let index = 0;
    for (;;) {
      let below = 2 * index + 1;
      let child = this.#heap[below];
      const right = this.#heap[below + 1];
      if (child !== undefined && right !== undefined && before(right, child)) {
        child = right;
        below++;
      }
      if (child === undefined || before(last, child)) break;
      this.#heap[index] = child;
      index = below;
    }
    this.#heap[index] = last;
    return first;
  }
}

interface Due {
  readonly at: number;
  readonly order: number;
}

function before(a: Due, b: Due): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
