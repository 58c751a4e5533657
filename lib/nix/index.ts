/**
 * Nix's own formats and the client of its daemon.
 *
 * In this room live store paths, hashes, derivations, NARs, narinfos, signatures and the worker protocol. It knows
 * nothing of Hydra.
 */
export * from "./byte-string.js";
export * from "./closure.js";
export * from "./content-address.js";
export * from "./daemon-error.js";
export { DaemonStore, type DaemonStoreOptions } from "./daemon-store.js";
export * from "./debug-info.js";
export * from "./derivation.js";
export { parseDerivation } from "./derivation-parser.js";
export * from "./derivation-paths.js";
export { computeDerivationPath, printDerivation } from "./derivation-printer.js";
export * from "./derivation-resolution.js";
export * from "./errors.js";
export * from "./hash.js";
export * from "./nar-info.js";
export * from "./nar-listing.js";
export { parseListing } from "./nar-listing-parser.js";
export { type NarEvent, parseNar } from "./nar-parser.js";
export { restoreNar } from "./nar-restore.js";
export { dumpPath, dumpTree, type NarTree } from "./nar-writer.js";
export * from "./nix32.js";
export { type OpenStoreOptions, openStore } from "./open-store.js";
export type * from "./path-info.js";
export { PathInfoCache } from "./path-info-cache.js";
export * from "./realisation.js";
export * from "./signer.js";
export * from "./store.js";
export * from "./store-path.js";
export { type Environment, parseStoreUri, type StoreAddress } from "./store-uri.js";
export type { CollectedGarbage, GarbageCollection, GcRoot } from "./worker-protocol-operations.js";
