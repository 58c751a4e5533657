/** A map that cannot grow without bound. */

/** What a bounded map forgets, and when. */
export interface BoundedMapOptions {
  /** Entries kept at most. */
  readonly capacity: number;
  /** Milliseconds that an entry is kept after it was set. Default: no limit. */
  readonly ttlMs?: number | undefined;
  /** `set`: the entry that was set longest ago is evicted first; `use`: the one that was set or read longest ago. Default `set`. */
  readonly evictBy?: "set" | "use" | undefined;
  /** Milliseconds; only differences matter. Default `performance.now`. */
  readonly now?: (() => number) | undefined;
}

interface Entry<V> {
  readonly value: V;
  readonly expiresAt: number;
}

/** A map with a capacity, and optionally a time to live; what is over them is dropped without notice. */
export class BoundedMap<K, V> {
  readonly #options: BoundedMapOptions;
  /** A Map iterates in order of insertion: the next entry to evict is first. */
  readonly #entries = new Map<K, Entry<V>>();

  constructor(options: BoundedMapOptions) {
    this.#options = options;
  }

  /** Entries held, those that have expired but were not looked up since included. */
  get size(): number {
    return this.#entries.size;
  }

  /** The value, unless it was never set, expired or evicted. */
  get(key: K): V | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    if (entry.expiresAt <= this.#now()) {
      this.#entries.delete(key);
      return undefined;
    }
    if (this.#options.evictBy === "use") {
      this.#entries.delete(key);
      this.#entries.set(key, entry);
    }
    return entry.value;
  }

  /** Whether `get` would find an entry; counts as a use like `get`. */
  has(key: K): boolean {
    this.get(key);
    return this.#entries.has(key);
  }

  /** Sets a value, whose time to live starts now, and evicts what is over the capacity. */
  set(key: K, value: V): void {
    const { capacity, ttlMs } = this.#options;
    const expiresAt = ttlMs === undefined ? Number.POSITIVE_INFINITY : this.#now() + ttlMs;
    this.#entries.delete(key);
    this.#entries.set(key, { value, expiresAt });
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= capacity) return;
      this.#entries.delete(oldest);
    }
  }

  /** Forgets one entry, if it is there. */
  delete(key: K): void {
    this.#entries.delete(key);
  }

  #now(): number {
    const { ttlMs, now = monotonic } = this.#options;
    return ttlMs === undefined ? 0 : now();
  }
}

/** Looked up at each use, as virtual time replaces it. */
function monotonic(): number {
  return performance.now();
}
