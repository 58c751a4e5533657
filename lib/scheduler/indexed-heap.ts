/**
 * Binary heap whose items know their own place, so that any of them can be re-keyed or taken out in O(log n).
 *
 * An item is in at most one heap at a time (`heapIndex` is -1 outside). Only the item given to `update` may have
 * changed its key since the last call: two stale keys at once would hide each other's disorder.
 */
export interface HeapItem {
  heapIndex: number;
}

/**
 * A heap whose first item is the one that is `before` all others. `pop`, `push`, `remove` and `update` cost O(log n),
 * `rebuild` O(n).
 */
export class IndexedHeap<T extends HeapItem> {
  readonly #items: T[] = [];
  readonly #before: (a: T, b: T) => boolean;

  constructor(before: (a: T, b: T) => boolean) {
    this.#before = before;
  }

  get size(): number {
    return this.#items.length;
  }

  peek(): T | undefined {
    return this.#items[0];
  }

  /** The best item other than `item`. */
  peekBeside(item: T): T | undefined {
    const items = this.#items;
    if (items[0] !== item) return items[0];
    const left = items[1];
    const right = items[2];
    if (left === undefined || right === undefined) return left;
    return this.#before(right, left) ? right : left;
  }

  has(item: T): boolean {
    return item.heapIndex >= 0 && this.#items[item.heapIndex] === item;
  }

  push(item: T): void {
    item.heapIndex = this.#items.length;
    this.#items.push(item);
    this.#up(item, item.heapIndex);
  }

  pop(): T | undefined {
    const top = this.#items[0];
    if (top !== undefined) this.remove(top);
    return top;
  }

  remove(item: T): void {
    const index = item.heapIndex;
    const last = this.#items.pop();
    item.heapIndex = -1;
    if (last === undefined || last === item) return;
    this.#items[index] = last;
    last.heapIndex = index;
    this.#up(last, index);
    this.#down(last, last.heapIndex);
  }

  clear(): void {
    for (const item of this.#items) item.heapIndex = -1;
    this.#items.length = 0;
  }

  update(item: T): void {
    this.#up(item, item.heapIndex);
    this.#down(item, item.heapIndex);
  }

  /** All items, in no particular order. */
  values(): readonly T[] {
    return this.#items;
  }

  /** Restores the order after any number of keys, or the comparison itself, changed. O(n). */
  rebuild(): void {
    for (let index = (this.#items.length >> 1) - 1; index >= 0; index--) {
      const item = this.#items[index];
      if (item !== undefined) this.#down(item, index);
    }
  }

  #up(item: T, from: number): void {
    const items = this.#items;
    let index = from;
    while (index > 0) {
      const parentIndex = (index - 1) >> 1;
      const parent = items[parentIndex];
      if (parent === undefined || !this.#before(item, parent)) break;
      items[index] = parent;
      parent.heapIndex = index;
      index = parentIndex;
    }
    items[index] = item;
    item.heapIndex = index;
  }

  #down(item: T, from: number): void {
    const items = this.#items;
    const size = items.length;
    let index = from;
    for (;;) {
      let childIndex = 2 * index + 1;
      if (childIndex >= size) break;
      let child = items[childIndex];
      const right = items[childIndex + 1];
      if (child === undefined) break;
      if (right !== undefined && this.#before(right, child)) {
        childIndex++;
        child = right;
      }
      if (!this.#before(child, item)) break;
      items[index] = child;
      child.heapIndex = index;
      index = childIndex;
    }
    items[index] = item;
    item.heapIndex = index;
  }
}
