/**
 * Nix's own formats and the client of its daemon.
 *
 * In this room live store paths, hashes, derivations, NARs, narinfos, signatures and the worker protocol. It knows
 * nothing of Hydra.
 */

export * from "./cache/nar-info.js";
export * from "./cache/realisation.js";
export * from "./cache/signer.js";
export { DaemonStore, type DaemonStoreOptions } from "./daemon/daemon-store.js";
export * from "./daemon/error.js";
export { type OpenStoreOptions, openStore } from "./daemon/open-store.js";
export type { CollectedGarbage, GarbageCollection, GcRoot } from "./daemon/protocol/operations.js";
export { type Environment, parseStoreUri, type StoreAddress } from "./daemon/store-uri.js";
export * from "./derivation/derivation.js";
export { parseDerivation } from "./derivation/parser.js";
export * from "./derivation/paths.js";
export { computeDerivationPath, printDerivation } from "./derivation/printer.js";
export * from "./derivation/resolution.js";
export * from "./errors.js";
export * from "./nar/debug-info.js";
export * from "./nar/listing.js";
export { parseListing } from "./nar/listing-parser.js";
export { type NarEvent, parseNar } from "./nar/parser.js";
export { restoreNar } from "./nar/restore.js";
export { dumpPath, dumpTree, type NarTree } from "./nar/writer.js";
export * from "./path/byte-string.js";
export * from "./path/content-address.js";
export * from "./path/hash.js";
export * from "./path/nix32.js";
export * from "./path/store-path.js";
export * from "./store/closure.js";
export type * from "./store/path-info.js";
export { PathInfoCache } from "./store/path-info-cache.js";
export * from "./store/store.js";
