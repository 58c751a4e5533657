/**
 * The caches and other stores of the configuration, and which of them outputs belong into.
 *
 * Outputs that only listed jobsets want go to the overflow store, all others to the caches.
 */
import {
  type BinaryCache,
  isPresignedCache,
  openBinaryCache,
  type Presence,
  type PresignedCache,
} from "../../../binary-cache/index.js";
import type { OverflowStoreConfig } from "../../../config/types.js";
import type { Logger } from "../../../log.js";
import type { StorePath } from "../../../nix/path/store-path.js";
import type { ProblemReporter } from "../../state/problems.js";
import type { RunnerStore } from "../../state/runner-store.js";
import { NixCopy } from "./nix-copy.js";
import { StoreWatch } from "./store-watch.js";

/** The caches of `remoteStoreAddr`, or the overflow store. */
export type Destination = "caches" | "overflow";

/** The stores of the configuration. */
export interface UploadTargets {
  /** Addresses as configured: `s3://…`, `file://…`, and others that `nix copy` understands. */
  readonly stores: readonly string[];
  readonly overflow: OverflowStoreConfig | undefined;
}

interface Opened {
  readonly targets: UploadTargets;
  readonly caches: readonly BinaryCache[];
  readonly overflow: BinaryCache | undefined;
  readonly others: readonly NixCopy[];
}

const nothing: Opened = {
  targets: { stores: [], overflow: undefined },
  caches: [],
  overflow: undefined,
  others: [],
};

/** The stores that are open. */
export class CacheTargets {
  readonly #store: RunnerStore;
  readonly #logger: Logger;
  readonly #problems: ProblemReporter;
  /** Given by the embedder, who closes them. */
  readonly #own: readonly BinaryCache[];
  #opened: Opened = nothing;
  #watch: StoreWatch | undefined;

  constructor(options: {
    readonly store: RunnerStore;
    readonly logger: Logger;
    readonly problems: ProblemReporter;
    readonly caches?: readonly BinaryCache[] | undefined;
  }) {
    this.#own = options.caches ?? [];
    this.#store = options.store;
    this.#logger = options.logger;
    this.#problems = options.problems;
  }

  /**
   * Opens the stores; does nothing when they are the same as before.
   *
   * @throws UsageError, BinaryCacheError when an address or a key cannot be used; the old stores then stay in use
   */
  async open(targets: UploadTargets): Promise<void> {
    const isSame = JSON.stringify(targets) === JSON.stringify(this.#opened.targets);
    if (isSame && this.#watch !== undefined) return;
    const logger = this.#logger;
    const store = this.#store;
    const caches: BinaryCache[] = [];
    const others: NixCopy[] = [];
    const openCache = (uri: string): Promise<BinaryCache> =>
      openBinaryCache(uri, { storeDir: store.storeDir, logger });
    try {
      for (const uri of targets.stores) {
        if (/^(s3|file):\/\//.test(uri)) caches.push(await openCache(uri));
        else others.push(new NixCopy({ target: uri, logger, store }));
      }
      const overflow = targets.overflow === undefined ? undefined : await openCache(targets.overflow.store);
      this.close();
      this.#opened = { targets, caches, overflow, others };
      this.#watch = new StoreWatch(this.all, this.#problems);
    } catch (error) {
      for (const cache of caches) cache.close();
      throw error;
    }
  }

  close(): void {
    this.#watch?.close();
    this.#watch = undefined;
    const { caches, overflow } = this.#opened;
    for (const cache of caches) cache.close();
    overflow?.close();
    this.#opened = nothing;
  }

  get all(): readonly BinaryCache[] {
    return [...this.of("caches"), ...this.of("overflow")];
  }

  /** Stores that `nix copy` writes into. */
  get others(): readonly NixCopy[] {
    return this.#opened.others;
  }

  of(destination: Destination): readonly BinaryCache[] {
    const { caches, overflow } = this.#opened;
    if (destination === "caches") return [...caches, ...this.#own];
    return overflow === undefined ? [] : [overflow];
  }

  /** Where outputs belong that these jobsets (`project:jobset`) want. */
  destination(jobsets: readonly string[]): Destination {
    const { targets, overflow } = this.#opened;
    if (overflow === undefined || jobsets.length === 0) return "caches";
    const listed = new Set(targets.overflow?.jobsets);
    return jobsets.every((jobset) => listed.has(jobset)) ? "overflow" : "caches";
  }

  /** The bucket that builders fill. */
  presigned(destination: Destination): PresignedCache | undefined {
    return this.of(destination).find(isPresignedCache);
  }
}

/** What all of `caches` together know: `present` when each has the path, `absent` when one surely lacks it. */
export async function presenceInAll(
  caches: readonly BinaryCache[],
  paths: readonly StorePath[],
): Promise<Map<StorePath, Presence>> {
  const combined = new Map<StorePath, Presence>();
  if (paths.length === 0 || caches.length === 0) return combined;
  const answers = await Promise.all(caches.map((cache) => cache.hasNarInfos(paths)));
  for (const path of paths) {
    const all = answers.map((answer) => answer.get(path) ?? "unknown");
    combined.set(path, all.includes("absent") ? "absent" : all.includes("unknown") ? "unknown" : "present");
  }
  return combined;
}
