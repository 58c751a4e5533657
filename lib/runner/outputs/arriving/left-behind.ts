/** Deletes what attempts left in the store without having proven it. */
import { sleep } from "../../../async/index.js";
import type { Logger } from "../../../log.js";
import type { StorePath } from "../../../nix/path/store-path.js";
import type { AttemptRegistry } from "../../state/attempts.js";
import type { RawStore } from "../../state/runner-store.js";
import type { UnprovenPaths } from "../../state/unproven-paths.js";

/** Long enough for a builder to come back with a build whose outputs it has sent already. */
const pauseMs = 60_000;
/** Each deletion may make the daemon look for roots, so there are only so many in a row. */
const deletionsAtOnce = 50;

/** What the deletion works with. */
export interface LeftBehindOptions {
  readonly store: Pick<RawStore, "isValidPath" | "deletePath">;
  readonly unproven: UnprovenPaths;
  readonly attempts: Pick<AttemptRegistry, "all">;
  readonly logger: Logger;
}

/** Paths that cannot be deleted stay unproven, and are tried again. */
export class LeftBehind {
  readonly #options: LeftBehindOptions;

  constructor(options: LeftBehindOptions) {
    this.#options = options;
  }

  /** Deletes again and again until `signal` aborts. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await sleep(pauseMs, { signal, ref: false }).catch(() => undefined);
      if (!signal.aborted) await this.deleteOnce(signal);
    }
  }

  /** Tries each path once. Never rejects. */
  async deleteOnce(signal?: AbortSignal): Promise<void> {
    const { unproven, attempts } = this.#options;
    // An attempt that makes the path replaces it, or proves it.
    const awaited = new Set([...attempts.all()].flatMap(({ facts }) => [...facts.outputs.values()]));
    const paths = unproven.leftBehind().filter((path) => !awaited.has(path));
    // The latest first: they may refer to the others.
    for (const path of paths.reverse().slice(0, deletionsAtOnce)) {
      if (signal?.aborted === true) return;
      if (!unproven.isClaimed(path)) await this.#delete(path);
    }
  }

  async #delete(path: StorePath): Promise<void> {
    const { store, unproven, logger } = this.#options;
    try {
      if (await store.isValidPath(path)) {
        await store.deletePath(path);
        logger.info("a path that no report has proven was deleted", { path });
      }
    } catch (error) {
      logger.debug("a path that no report has proven cannot be deleted yet", { path, error });
      return;
    }
    if (!unproven.isClaimed(path)) unproven.forget([path]);
  }
}
