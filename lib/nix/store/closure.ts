/** Walks the references of store paths. */

import { aFunction, aList, aSeries, checkArgument, having } from "../../argument-checks.js";
import { aMap } from "../argument-rules.js";
import type { StorePath } from "../path/store-path.js";
import type { ValidPathInfo } from "./path-info.js";
import type { PathInfoCache } from "./path-info-cache.js";

/** Path infos of those of `paths` that are valid, in one round. */
export type QueryPathInfos = (paths: readonly StorePath[]) => Promise<ReadonlyMap<StorePath, ValidPathInfo>>;

/**
 * Everything reachable from `roots`, dependencies before dependents; roots that are not valid are left out. Roots given
 * as paths are always queried, what they refer to may come from the cache.
 */
export async function computeClosure(
  roots: readonly (StorePath | ValidPathInfo)[],
  query: QueryPathInfos,
  cache: PathInfoCache,
): Promise<ValidPathInfo[]> {
  checkArgument("computeClosure", "roots", roots, aList);
  checkArgument("computeClosure", "query", query, aFunction);
  checkArgument("computeClosure", "cache", cache, having("a PathInfoCache", ["get", "put"]));
  const known = new Map<StorePath, ValidPathInfo>();
  const paths = roots.map((root) => (typeof root === "string" ? root : root.path));
  const seen = new Set(paths);
  let fresh = roots.filter((root) => typeof root !== "string");
  let unknown = [...new Set(roots.filter((root) => typeof root === "string"))];
  while (unknown.length > 0 || fresh.length > 0) {
    if (unknown.length > 0) fresh = [...fresh, ...(await query(unknown)).values()];
    unknown = [];
    // Cached infos lead on to more cached infos without a question to the daemon.
    while (fresh.length > 0) {
      const found: ValidPathInfo[] = [];
      for (const info of fresh) {
        known.set(info.path, info);
        cache.put(info);
        for (const reference of info.references) {
          if (seen.has(reference)) continue;
          seen.add(reference);
          const cached = cache.get(reference);
          if (cached === undefined) unknown.push(reference);
          else found.push(cached);
        }
      }
      fresh = found;
    }
  }
  return dependenciesFirst(paths, known);
}

/**
 * What is reachable from `roots`, dependencies before dependents; paths that `infos` does not have are left out. Depth
 * first, post-order, with a stack of our own: chains of references can be longer than the call stack.
 */
export function dependenciesFirst<Info extends Pick<ValidPathInfo, "path" | "references">>(
  roots: Iterable<StorePath>,
  infos: ReadonlyMap<StorePath, Info>,
): Info[] {
  checkArgument("dependenciesFirst", "roots", roots, aSeries);
  checkArgument("dependenciesFirst", "infos", infos, aMap);
  const ordered: Info[] = [];
  const visited = new Set<StorePath>();
  const stack: { readonly info: Info; next: number }[] = [];
  const enter = (path: StorePath): void => {
    const info = infos.get(path);
    if (info === undefined || visited.has(path)) return;
    visited.add(path);
    stack.push({ info, next: 0 });
  };
  for (const root of roots) {
    enter(root);
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      const reference = top.info.references[top.next++];
      if (reference !== undefined) {
        enter(reference);
      } else {
        ordered.push(top.info);
        stack.pop();
      }
    }
  }
  return ordered;
}
