/** Values by what they have in common: a map of sets, none of which is empty. */

/** Sets of values by key, in order of insertion. */
export class Groups<K, V> {
  readonly #groups = new Map<K, Set<V>>();

  /** Empty for a key without values. */
  get(key: K): ReadonlySet<V> {
    return this.#groups.get(key) ?? new Set();
  }

  /** All that are not empty. */
  all(): Iterable<ReadonlySet<V>> {
    return this.#groups.values();
  }

  add(key: K, value: V): void {
    const group = this.#groups.get(key);
    if (group === undefined) this.#groups.set(key, new Set([value]));
    else group.add(value);
  }

  /** Whether it was there. */
  delete(key: K, value: V): boolean {
    const group = this.#groups.get(key);
    const deleted = group?.delete(value) ?? false;
    if (group?.size === 0) this.#groups.delete(key);
    return deleted;
  }

  /** Forgets all values of the key. */
  clear(key: K): void {
    this.#groups.delete(key);
  }
}
