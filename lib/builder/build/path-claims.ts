/**
 * Who is bringing which path into the store.
 *
 * A claim is taken for all paths at once and waits only for older claims, so claims cannot deadlock.
 */
import type { StorePath } from "../../nix/path/store-path.js";

/** What one import has to fetch, and what it can wait for. */
export interface PathClaim {
  /** Paths that were not being fetched yet, in the order asked for. */
  readonly mine: readonly StorePath[];
  /** Paths that others are bringing; resolved when they are done with it, whether it came or not. */
  readonly others: ReadonlyMap<StorePath, Promise<void>>;
  /** These are there now. */
  done(paths: Iterable<StorePath>): void;
  /** Gives up what is not done. */
  release(): void;
}

/** The paths that are being fetched, by the import that fetches them. */
export class PathClaims {
  readonly #claimed = new Map<StorePath, { readonly over: Promise<void>; readonly end: () => void }>();

  claim(paths: readonly StorePath[]): PathClaim {
    const others = new Map<StorePath, Promise<void>>();
    const open = new Set<StorePath>();
    for (const path of paths) {
      const claimed = this.#claimed.get(path);
      if (claimed === undefined) {
        let end = (): void => {};
        const over = new Promise<void>((resolve) => {
          end = resolve;
        });
        this.#claimed.set(path, { over, end });
        open.add(path);
      } else if (!open.has(path)) {
        others.set(path, claimed.over);
      }
    }
    const done = (finished: Iterable<StorePath>): void => {
      for (const path of finished) {
        if (!open.delete(path)) continue;
        this.#claimed.get(path)?.end();
        this.#claimed.delete(path);
      }
    };
    return { mine: [...open], others, done, release: () => done([...open]) };
  }
}
