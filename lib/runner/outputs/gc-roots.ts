/**
 * Garbage-collector roots of what was built, one link per output in the folder that Hydra's clean-up job prunes.
 *
 * The runner only adds; `hydra-update-gc-roots` decides what stays.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Logger } from "../../log.js";
import type { StorePath } from "../../nix/path/store-path.js";
import type { RunnerStore } from "../state/runner-store.js";

/** Adds garbage-collector roots. */
export class GcRoots {
  readonly #store: RunnerStore;
  readonly #folder: () => string;
  readonly #logger: Logger;
  #made: string | undefined;

  constructor(options: {
    readonly store: RunnerStore;
    /** Read at each use, because a reload may change it. */
    readonly folder: () => string;
    readonly logger: Logger;
  }) {
    this.#store = options.store;
    this.#folder = options.folder;
    this.#logger = options.logger;
  }

  /** Never rejects: a missing root costs a rebuild after a collection, not a result. */
  async add(paths: Iterable<StorePath>): Promise<void> {
    const folder = this.#folder();
    try {
      if (this.#made !== folder) await mkdir(folder, { recursive: true });
      this.#made = folder;
    } catch (error) {
      this.#logger.warn("folder of the garbage-collector roots cannot be made", { folder, error });
      return;
    }
    await Promise.all(
      [...paths].map(async (path) => {
        try {
          await this.#store.addPermRoot(path, join(folder, path));
        } catch (error) {
          this.#logger.warn("garbage-collector root cannot be made", { path, error });
        }
      }),
    );
  }
}
