/**
 * Brings the inputs of builds into the local store: what substituters have first, where that is wanted, the rest from
 * the runner. Builds that need the same path at the same time share one transfer.
 */
import { mapLimited, Semaphore } from "../../async/index.js";
import type { Logger } from "../../log.js";
import type { StorePath } from "../../nix/path/store-path.js";
import type { RootsSession, Store } from "../../nix/store/store.js";
import { RpcError, unpackNars } from "../../rpc/index.js";
import type { NarStream, RunnerApi } from "../../rpc/types.js";
import type { RunnerLink } from "../connection/runner-link.js";
import { counted, type MutableCounters } from "../counters.js";
import { PathClaims } from "./path-claims.js";

/** Paths of one FetchPaths call; many enough that round trips do not matter, few enough that waiters go on early. */
const batchSize = 64;
/** Tries, when a path that another build was to bring did not come. */
const mostRounds = 4;
/** Milliseconds a runner may take to walk the closure of the inputs. */
const requisitesTimeout = 600_000;
/** Substitutions of one build at once. */
const substitutionsAtOnce = 4;

/** What inputs are imported with; `useSubstitutes` is read at each import. */
export interface InputImporterOptions {
  readonly store: Store;
  readonly link: RunnerLink;
  readonly useSubstitutes: () => boolean;
  readonly counters: MutableCounters;
  readonly logger: Logger;
}

/** For whom inputs are imported. */
export interface ImportOptions {
  /** Everything that is imported gets a temporary root here, before anything else. */
  readonly roots: RootsSession;
  readonly signal: AbortSignal;
}

/** Imports inputs for all builds of a builder, at most `maxConcurrentDownloads` (default 5) transfers at once. */
export class InputImporter {
  readonly #options: InputImporterOptions;
  readonly #claims = new PathClaims();
  readonly #downloads = new Semaphore(5);

  constructor(options: InputImporterOptions) {
    this.#options = options;
  }

  /** Transfers at once, all builds together. */
  set maxConcurrentDownloads(limit: number) {
    this.#downloads.limit = limit;
  }

  /**
   * Makes `inputs` with their closures valid. Returns the paths that the runner has, among them everything it named
   * of: these need never be sent back.
   */
  async import(inputs: readonly StorePath[], options: ImportOptions): Promise<ReadonlySet<StorePath>> {
    if (inputs.length === 0) return new Set();
    const { link } = this.#options;
    const { roots, signal } = options;
    const requisites = await link.call(
      (api) => api.fetchRequisites(inputs, { signal, timeoutMs: requisitesTimeout }),
      signal,
    );
    await roots.addTempRoots([...new Set([...requisites, ...inputs])], { signal });
    await this.#bring(requisites, signal);
    await this.#substituteUnknown(inputs, signal);
    return new Set(requisites);
  }

  async #bring(requisites: readonly StorePath[], signal: AbortSignal): Promise<void> {
    for (let round = 1; ; round++) {
      const missing = await this.#missing(requisites, signal);
      if (missing.length === 0) return;
      const claim = this.#claims.claim(missing);
      try {
        await this.#fetch(missing, claim, round === 1, signal);
      } catch (error) {
        signal.throwIfAborted();
        // Something we counted on may not have come because the build that was to bring it is gone.
        if (claim.others.size === 0 || round === mostRounds) throw error;
      } finally {
        claim.release();
      }
    }
  }

  async #missing(paths: readonly StorePath[], signal: AbortSignal): Promise<StorePath[]> {
    const valid = await this.#options.store.queryValidPaths(paths, { signal });
    return paths.filter((path) => !valid.has(path));
  }

  async #fetch(
    missing: readonly StorePath[],
    claim: ReturnType<PathClaims["claim"]>,
    maySubstitute: boolean,
    signal: AbortSignal,
  ): Promise<void> {
    const substituted = maySubstitute ? await this.#substitute(claim.mine, signal) : new Set<StorePath>();
    claim.done(substituted);
    const awaited: Promise<void>[] = [];
    let batch: StorePath[] = [];
    const flush = async (): Promise<void> => {
      if (batch.length === 0) return;
      const paths = batch;
      batch = [];
      // What stands before in the list may be referred to, so it has to be there first.
      await Promise.all(awaited);
      signal.throwIfAborted();
      await this.#fetchBatch(paths, signal);
      claim.done(paths);
    };
    for (const path of missing) {
      const other = claim.others.get(path);
      if (other !== undefined) {
        await flush();
        awaited.push(other);
      } else if (!substituted.has(path)) {
        batch.push(path);
        if (batch.length >= batchSize) await flush();
      }
    }
    await flush();
    await Promise.all(awaited);
  }

  /** Asks the daemon to substitute what it can; what did not work out is simply not in the answer. */
  async #substitute(paths: readonly StorePath[], signal: AbortSignal): Promise<Set<StorePath>> {
    const { store, counters, logger } = this.#options;
    // Derivations are in no cache.
    const wanted = paths.filter((path) => !path.endsWith(".drv"));
    if (!this.#options.useSubstitutes() || wanted.length === 0) return new Set();
    try {
      return await counted(counters, "substituting", wanted.length, () =>
        store.queryValidPaths(wanted, { signal, substitute: true }),
      );
    } catch (error) {
      signal.throwIfAborted();
      logger.debug("substituting inputs failed; they come from the runner", { paths: wanted.length, error });
      return new Set();
    }
  }

  async #fetchBatch(paths: readonly StorePath[], signal: AbortSignal): Promise<void> {
    const { link, counters } = this.#options;
    await this.#downloads.run(
      () =>
        counted(counters, "downloading", paths.length, () =>
          link.call(async (api) => {
            // A transfer that was cut off has brought some of them.
            const wanted = await this.#missing(paths, signal);
            if (wanted.length > 0) await this.#transfer(api, wanted, signal);
          }, signal),
        ),
      signal,
    );
  }

  async #transfer(api: RunnerApi, paths: readonly StorePath[], signal: AbortSignal): Promise<void> {
    const { store, counters } = this.#options;
    const stream = await api.fetchPaths(paths, { signal });
    const listed = new Set(stream.infos.map((info) => info.path));
    const lacking = paths.find((path) => !listed.has(path));
    if (lacking !== undefined) throw new RpcError("data-loss", `the runner did not send ${lacking}`);
    const wanted = new Set(paths);
    const unwanted = stream.infos.find((info) => !wanted.has(info.path));
    if (unwanted !== undefined) {
      throw new RpcError("data-loss", `the runner sends ${unwanted.path}, which was not asked for`);
    }
    if (stream.infos.length > paths.length) {
      throw new RpcError("data-loss", "the runner sends a path more than once");
    }
    await store.addMultipleToStore(unpackNars(stream, { pieces: "lent" }), stream.infos.length, { signal });
    counters.pathsDownloaded += stream.infos.length;
    counters.bytesDownloaded += totalSize(stream);
  }

  /** Inputs that only a cache has, as with presigned uploads: the runner does not know them. */
  async #substituteUnknown(inputs: readonly StorePath[], signal: AbortSignal): Promise<void> {
    const { store, counters } = this.#options;
    const unknown = await this.#missing(inputs, signal);
    if (unknown.length === 0) return;
    // They may have been uploaded a moment ago, so an earlier "not there" must not be believed.
    const settings = { signal, useSubstitutes: true, narinfoNegativeTtl: 0 };
    await counted(counters, "substituting", unknown.length, () =>
      mapLimited(unknown, substitutionsAtOnce, (path) => store.ensurePath(path, settings), signal),
    );
  }
}

function totalSize(stream: NarStream): number {
  return stream.infos.reduce((sum, info) => sum + info.narSize, 0);
}
