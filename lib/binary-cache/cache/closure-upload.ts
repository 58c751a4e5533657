/** The order in which a closure is written: narinfos appear after those of their references. */

import { mapLimited } from "../../async/index.js";
import type { StorePath } from "../../nix/path/store-path.js";
import type { ValidPathInfo } from "../../nix/store/path-info.js";

/** Paths of one closure in transfer. */
const pathsAtOnce = 10;

/**
 * `concurrency`: paths written at once, default 10. `beforePublish`: awaited for each path before it becomes visible.
 */
export interface ClosureOrderOptions {
  readonly concurrency?: number | undefined;
  readonly beforePublish?: (() => Promise<void>) | undefined;
}

/**
 * Writes `paths`, given references first, several at once. `write` must await what it is given before it makes a path
 * visible. Gives back the paths that `write` says it has written; the first error stops the rest.
 */
export async function inClosureOrder<T extends Pick<ValidPathInfo, "path" | "references">>(
  paths: readonly T[],
  write: (item: T, beforePublish: () => Promise<void>) => Promise<"uploaded" | "present">,
  options: ClosureOrderOptions = {},
): Promise<StorePath[]> {
  const published = new Map<StorePath, Promise<unknown>>();
  const uploaded: StorePath[] = [];
  let failure: { readonly error: unknown } | undefined;
  await mapLimited(paths, options.concurrency ?? pathsAtOnce, async (item) => {
    // Each upload waits only for uploads that have already started, so they cannot deadlock.
    const earlier = item.references.flatMap((reference) => published.get(reference) ?? []);
    const beforePublish = async (): Promise<void> => {
      await Promise.all(earlier);
      if (failure !== undefined) throw failure.error;
      await options.beforePublish?.();
    };
    const upload = write(item, beforePublish);
    const settled = upload.catch((error: unknown) => {
      failure ??= { error };
    });
    published.set(item.path, settled);
    if ((await upload) === "uploaded") uploaded.push(item.path);
  });
  return uploaded;
}
