/** Remembers path infos, least recently used ones fall out. */

import type { StorePath } from "../path/store-path.js";
import type { ValidPathInfo } from "./path-info.js";

/**
 * What is in here was valid once. Ask it only about references of paths that are valid now: a store keeps the closure
 * of a valid path, so those are valid too, and nothing that matters in a path info ever changes.
 */
export class PathInfoCache {
  readonly #capacity: number;
  readonly #infos = new Map<StorePath, ValidPathInfo>();

  constructor(capacity = 50_000) {
    this.#capacity = capacity;
  }

  get size(): number {
    return this.#infos.size;
  }

  get(path: StorePath): ValidPathInfo | undefined {
    const info = this.#infos.get(path);
    if (info !== undefined) {
      // A Map iterates in order of insertion: the oldest use is first.
      this.#infos.delete(path);
      this.#infos.set(path, info);
    }
    return info;
  }

  put(info: ValidPathInfo): void {
    this.#infos.delete(info.path);
    this.#infos.set(info.path, info);
    if (this.#infos.size <= this.#capacity) return;
    for (const oldest of this.#infos.keys()) {
      this.#infos.delete(oldest);
      return;
    }
  }
}
