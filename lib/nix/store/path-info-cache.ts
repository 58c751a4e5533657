/** Remembers path infos, least recently used ones fall out. */
import { anAmount, checkArgument } from "../../argument-checks.js";
import { BoundedMap } from "../../async/index.js";
import type { StorePath } from "../path/store-path.js";
import type { ValidPathInfo } from "./path-info.js";

/**
 * What is in here was valid once. Ask it only about references of paths that are valid now: a store keeps the closure
 * of a valid path, so those are valid too, and nothing that matters in a path info ever changes.
 */
export class PathInfoCache {
  readonly #infos: BoundedMap<StorePath, ValidPathInfo>;

  /** `capacity`: infos kept at most; default 50 000. */
  constructor(capacity = 50_000) {
    checkArgument("PathInfoCache", "capacity", capacity, anAmount);
    this.#infos = new BoundedMap({ capacity, evictBy: "use" });
  }

  /** Infos that are remembered. */
  get size(): number {
    return this.#infos.size;
  }

  /** The info of a path, if it is remembered. */
  get(path: StorePath): ValidPathInfo | undefined {
    return this.#infos.get(path);
  }

  /** Remembers an info. */
  put(info: ValidPathInfo): void {
    this.#infos.set(info.path, info);
  }
}
