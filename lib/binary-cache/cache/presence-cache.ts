/** Remembers which narinfos are in a cache, so that it need not be asked again. Only "is there" is remembered. */
import { BoundedMap } from "../../async/index.js";
import { type StorePath, storePathHashPart } from "../../nix/path/store-path.js";

const capacity = 200_000;

/** The paths whose narinfo was seen in one cache, each for a limited time. */
export class PresenceCache {
  /** By hash part. */
  readonly #known: BoundedMap<string, true>;

  /** `ttlSeconds`: how long a narinfo is believed to stay. `now`: milliseconds; default: as of a `BoundedMap`. */
  constructor(ttlSeconds: number, now?: () => number) {
    this.#known = new BoundedMap({ capacity, ttlMs: ttlSeconds * 1000, now });
  }

  /** Whether the narinfo was seen and is still believed to be there. */
  has(path: StorePath): boolean {
    return this.#known.has(storePathHashPart(path));
  }

  /** The narinfo was seen, or written, just now. */
  add(path: StorePath): void {
    this.#known.set(storePathHashPart(path), true);
  }

  /** The narinfo turned out to be missing. */
  forget(path: StorePath): void {
    this.#known.delete(storePathHashPart(path));
  }
}
