/** Walks the references of store paths. */
import type { ValidPathInfo } from "./path-info.js";
import type { PathInfoCache } from "./path-info-cache.js";
import type { StorePath } from "./store-path.js";

export type QueryPathInfos = (paths: readonly StorePath[]) => Promise<ReadonlyMap<StorePath, ValidPathInfo>>;

/**
 * Everything reachable from `roots`, dependencies before dependents; roots that are not valid are left out. The roots
 * are always asked about anew, what they refer to may come from the cache.
 */
export async function computeClosure(
  roots: readonly StorePath[],
  query: QueryPathInfos,
  cache: PathInfoCache,
): Promise<ValidPathInfo[]> {
  const known = new Map<StorePath, ValidPathInfo>();
  const seen = new Set(roots);
  let unknown = [...seen];
  while (unknown.length > 0) {
    let fresh: ValidPathInfo[] = [...(await query(unknown)).values()];
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
  return dependenciesFirst(roots, known);
}

/** Depth first, post-order, with a stack of our own: chains of references can be longer than the call stack. */
function dependenciesFirst(
  roots: readonly StorePath[],
  infos: ReadonlyMap<StorePath, ValidPathInfo>,
): ValidPathInfo[] {
  const ordered: ValidPathInfo[] = [];
  const visited = new Set<StorePath>();
  const stack: { readonly info: ValidPathInfo; next: number }[] = [];
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
