/**
 * Nix's own formats and the client of its daemon.
 *
 * In this room live store paths, hashes, derivations, NARs, narinfos, signatures and the worker protocol. It knows
 * nothing of Hydra.
 */

export { type NarInfo, parseNarInfo, printNarInfo } from "./cache/nar-info.js";
export {
  buildTraceObject,
  type KeyedRealisation,
  parseBuildTrace,
  parseRealisation,
  printBuildTrace,
  printRealisation,
  type RealisationKey,
  type RealisationValue,
  realisationFingerprint,
  realisationObject,
} from "./cache/realisation.js";
export { PublicKey, pathFingerprint, Signer, verifySignature } from "./cache/signer.js";
export { DaemonStore, type DaemonStoreOptions } from "./daemon/daemon-store.js";
export { abortError, cleanDaemonText, DaemonError, type DaemonErrorCode } from "./daemon/error.js";
export { type OpenStoreOptions, openStore } from "./daemon/open-store.js";
export type { CollectedGarbage, GarbageCollection, GcRoot } from "./daemon/protocol/operations.js";
export { type Environment, parseStoreUri, type StoreAddress } from "./daemon/store-uri.js";
export {
  type BasicDerivation,
  type Derivation,
  type DerivationOutput,
  type DerivedInput,
  derivationOutputPath,
  isImpure,
  preferLocalBuild,
  requiredSystemFeatures,
  structuredAttributes,
} from "./derivation/derivation.js";
export { parseDerivation } from "./derivation/parser.js";
export {
  type DerivationModulo,
  fillDeferredOutputs,
  hashDerivationModulo,
  makeOutputPath,
} from "./derivation/paths.js";
export { computeDerivationPath, printDerivation } from "./derivation/printer.js";
export {
  downstreamPlaceholder,
  inputReferences,
  type OutputReference,
  outputPlaceholder,
  type ResolutionResult,
  resolveDerivation,
} from "./derivation/resolution.js";
export { NixFormatError, type NixFormatErrorCode } from "./errors.js";
export { type DebugInfoFile, findDebugInfo, printDebugInfoLink } from "./nar/debug-info.js";
export { findInListing, ListingBuilder, type NarListing, printListing } from "./nar/listing.js";
export { parseListing } from "./nar/listing-parser.js";
export { type NarEvent, parseNar } from "./nar/parser.js";
export { restoreNar } from "./nar/restore.js";
export { dumpPath, dumpTree, type NarTree } from "./nar/writer.js";
export {
  type ByteString,
  byteStringFromText,
  byteStringToBytes,
  byteStringToText,
  bytesToByteString,
} from "./path/byte-string.js";
export {
  type ContentAddress,
  type ContentAddressMethod,
  type ContentAddressMethodAlgorithm,
  type ForeignContentAddress,
  type KnownContentAddress,
  makeFixedOutputPath,
  makeStorePath,
  makeTextPath,
  methodPrefix,
  outputPathName,
  parseContentAddress,
  printContentAddress,
} from "./path/content-address.js";
export {
  createHasher,
  digestSize,
  type Hash,
  type HashAlgorithm,
  type HashEncoding,
  hashBytes,
  hashesEqual,
  isHashAlgorithm,
  makeHash,
  parseHash,
  printHash,
  type StreamingHasher,
} from "./path/hash.js";
export { decodeNix32, encodeNix32, nix32Length } from "./path/nix32.js";
export {
  compareStorePaths,
  defaultStoreDir,
  isDerivationPath,
  isStorePath,
  parseAnyStorePath,
  parseFullStorePath,
  parseStoreDir,
  parseStorePath,
  printStorePath,
  type StoreDir,
  type StorePath,
  storePathHashPart,
  storePathName,
  storePathNameFault,
} from "./path/store-path.js";
export { computeClosure, dependenciesFirst, type QueryPathInfos } from "./store/closure.js";
export type { ValidPathInfo } from "./store/path-info.js";
export { PathInfoCache } from "./store/path-info-cache.js";
export {
  type AddToStoreOptions,
  type BuildMode,
  type BuildOptions,
  type BuildResult,
  type BuildSession,
  type BuildStatus,
  type ByteStream,
  buildStatuses,
  buildSucceeded,
  type CancelOptions,
  type DerivedPath,
  type DrvOutputId,
  type MissingPaths,
  type Realisation,
  type RootsSession,
  type SessionBuildOptions,
  type Store,
  type StoreSettings,
  type Trust,
} from "./store/store.js";
