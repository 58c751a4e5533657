/** Remembers which narinfos are in a cache, so that nobody has to ask again. Only "is there" is remembered. */
import { type StorePath, storePathHashPart } from "../../nix/path/store-path.js";

const capacity = 200_000;

export class PresenceCache {
  /** Hash part to the time (ms) up to which it is believed; in order of entry. */
  readonly #known = new Map<string, number>();
  readonly #ttlMs: number;
  readonly #now: () => number;

  constructor(ttlSeconds: number, now: () => number = Date.now) {
    this.#ttlMs = ttlSeconds * 1000;
    this.#now = now;
  }

  has(path: StorePath): boolean {
    const key = storePathHashPart(path);
    const until = this.#known.get(key);
    if (until === undefined) return false;
    if (until > this.#now()) return true;
    this.#known.delete(key);
    return false;
  }

  add(path: StorePath): void {
    const key = storePathHashPart(path);
    this.#known.delete(key);
    this.#known.set(key, this.#now() + this.#ttlMs);
    if (this.#known.size > capacity) {
      const oldest = this.#known.keys().next();
      if (oldest.done !== true) this.#known.delete(oldest.value);
    }
  }

  forget(path: StorePath): void {
    this.#known.delete(storePathHashPart(path));
  }
}
