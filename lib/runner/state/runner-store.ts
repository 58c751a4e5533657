/**
 * What the runner needs of its Nix store: it reads, takes outputs in and roots them; it never builds.
 *
 * There are two views. `RawStore` has everything that is there, also paths that a builder sent and that no report has
 * proven yet; only the parts that take paths in, check and delete them see it. Everything else gets a `RunnerStore`.
 */
import type { Store } from "../../nix/store/store.js";

/** The part of a `Store` that the runner uses. */
export type RawStore = Pick<
  Store,
  | "storeDir"
  | "realStoreDir"
  | "queryPathInfos"
  | "queryValidPaths"
  | "isValidPath"
  | "closure"
  | "readDerivation"
  | "narFromPath"
  | "addToStoreNar"
  | "addTextToStore"
  | "ensurePath"
  | "addPermRoot"
  | "deletePath"
>;

/** The runner's store as far as it may be believed. Made by `ProvenStore`; a raw store is none. */
export interface RunnerStore extends Omit<RawStore, "addToStoreNar" | "deletePath"> {
  /** Tells this view from the raw store. */
  readonly onlyProven: true;
}
