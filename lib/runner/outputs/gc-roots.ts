/**
 * Garbage-collector roots of what was built, one link per output in the folder that Hydra's clean-up job prunes.
 *
 * The runner only adds; `hydra-update-gc-roots` decides what stays.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { type TaskGroup, whenThereIsRoom } from "../../async/index.js";
import { isShortage } from "../../errors.js";
import type { Logger } from "../../log.js";
import type { StorePath } from "../../nix/path/store-path.js";
import type { RunnerStore } from "../state/runner-store.js";

/** How long a disk may be full until its roots are given up, in milliseconds. */
const patienceMs = 600_000;

/** Adds garbage-collector roots. */
export class GcRoots {
  readonly #store: RunnerStore;
  readonly #folder: () => string;
  readonly #tasks: Pick<TaskGroup, "start">;
  readonly #logger: Logger;
  #made: string | undefined;

  constructor(options: {
    readonly store: RunnerStore;
    /** Read at each use, because a reload may change it. */
    readonly folder: () => string;
    readonly tasks: Pick<TaskGroup, "start">;
    readonly logger: Logger;
  }) {
    this.#store = options.store;
    this.#folder = options.folder;
    this.#tasks = options.tasks;
    this.#logger = options.logger;
  }

  /**
   * Never rejects: a missing root costs a rebuild after a collection, not a result. Roots that the disk does not take
   * are tried again in the background.
   */
  async add(paths: Iterable<StorePath>): Promise<void> {
    await Promise.all(
      [...paths].map(async (path) => {
        try {
          await this.#make(path);
        } catch (error) {
          this.#logger.warn("garbage-collector root cannot be created", { path, error });
          if (isShortage(error)) this.#tasks.start(() => this.#makeLater(path));
        }
      }),
    );
  }

  async #make(path: StorePath): Promise<void> {
    const folder = this.#folder();
    if (this.#made !== folder) await mkdir(folder, { recursive: true });
    this.#made = folder;
    await this.#store.addPermRoot(path, join(folder, path));
  }

  async #makeLater(path: StorePath): Promise<void> {
    try {
      await whenThereIsRoom(() => this.#make(path), {
        patienceMs,
        pause: { firstMs: 500, longestMs: 10_000 },
      });
      this.#logger.info("garbage-collector root created after a retry", { path });
    } catch (error) {
      this.#logger.error("garbage-collector root could not be created", { path, error });
    }
  }
}
