/** Which paths a binary cache has: what is remembered, and for the rest a question for each narinfo. */
import { mapLimited } from "../../async/index.js";
import type { Logger } from "../../log.js";
import type { StorePath } from "../../nix/path/store-path.js";
import { narInfoKey } from "../layout.js";
import type { ObjectStore, ReadOptions } from "../objects/object-store.js";
import type { PresenceCache } from "./presence-cache.js";

/** `unknown`: the cache could not be asked. It stands for neither answer. */
export type Presence = "present" | "absent" | "unknown";

const headsAtOnce = 50;

/** Never throws but for the signal. */
export async function queryPresence(
  objects: ObjectStore,
  remembered: PresenceCache,
  paths: Iterable<StorePath>,
  options: ReadOptions & { readonly logger: Logger },
): Promise<Map<StorePath, Presence>> {
  const { logger, signal } = options;
  const answers = new Map<StorePath, Presence>();
  for (const path of paths) answers.set(path, remembered.has(path) ? "present" : "unknown");
  const open = [...answers].filter(([, answer]) => answer === "unknown").map(([path]) => path);
  let failures = 0;
  let failure: unknown;
  await mapLimited(open, headsAtOnce, async (path) => {
    signal?.throwIfAborted();
    try {
      const found = await objects.head(narInfoKey(path), { signal });
      if (found !== undefined) remembered.add(path);
      answers.set(path, found === undefined ? "absent" : "present");
    } catch (error) {
      signal?.throwIfAborted();
      failures += 1;
      failure ??= error;
    }
  });
  if (failures > 0) {
    logger.warn("cannot ask the binary cache for paths", { cache: objects.name, failures, error: failure });
  }
  return answers;
}
