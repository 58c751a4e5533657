/** What the runner needs of its Nix store: it reads, takes outputs in and roots them; it never builds. */
import type { Store } from "../../nix/store/store.js";

/** The part of a `Store` that the runner uses. */
export type RunnerStore = Pick<
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
>;
