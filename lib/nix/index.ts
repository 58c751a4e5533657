/**
 * Nix's own formats and the client of its daemon. It knows nothing of Hydra.
 *
 * Inner rooms:
 * - `path`: store paths, hashes, content addresses: values that everything else is made of
 * - `derivation`: derivations as text and as values, their paths, resolution of their inputs
 * - `nar`: archives: reading, writing, listings, debug information in them
 * - `cache`: the texts of a binary cache: narinfos, realisations, signatures. Objects and their places are in
 *   `lib/binary-cache`
 * - `store`: the `Store` interface, and what can be computed from any store
 * - `daemon`: `Store` over the worker protocol; only `daemon/protocol` knows its bytes
 */

/** A narinfo, as text and as value. */
export {
  type NarInfo,
  type NarInfoDescription,
  newNarInfo,
  parseNarInfo,
  printNarInfo,
} from "./cache/nar-info.js";
/** Realisations (also "build traces"), as JSON and as values, with the text that is signed. */
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
/** Ed25519 signatures of store paths. */
export { generateSecretKey, PublicKey, pathFingerprint, Signer, verifySignature } from "./cache/signer.js";
/** A store behind a nix-daemon. */
export { DaemonStore, type DaemonStoreOptions } from "./daemon/daemon-store.js";
/** What the daemon's client throws. */
export { abortError, cleanDaemonText, DaemonError, type DaemonErrorCode } from "./daemon/error.js";
/** Opens a store by its `NIX_REMOTE` address: the usual way to get one. */
export { type OpenStoreOptions, openStore } from "./daemon/open-store.js";
/** What a daemon reports about itself in the handshake. */
export type { ServerInfo } from "./daemon/protocol/handshake.js";
/** Values of operations that only a daemon has. */
export type { CollectedGarbage, GarbageCollection, GcRoot } from "./daemon/protocol/operations.js";
/** Store addresses as `NIX_REMOTE` has them. */
export { type Environment, parseStoreUri, type StoreAddress, type StorePlaces } from "./daemon/store-uri.js";
/** A path with its contents, for adding many at once. */
export type { PathToAdd } from "./daemon/upload-bodies.js";
/** A derivation, and what its environment says about how it is built. */
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
/** Reads the ATerm text of a `.drv` file. */
export { parseDerivation } from "./derivation/parser.js";
/** Output paths, as Nix computes them from a derivation. */
export {
  type DerivationModulo,
  fillDeferredOutputs,
  hashDerivationModulo,
  makeOutputPath,
} from "./derivation/paths.js";
/** The ATerm text of a derivation, and the store path it gets. */
export { computeDerivationPath, type PrintOptions, printDerivation } from "./derivation/printer.js";
/** Replaces input derivations by the paths of their outputs. */
export {
  downstreamPlaceholder,
  inputReferences,
  type OutputReference,
  outputPlaceholder,
  type ResolutionResult,
  resolveDerivation,
} from "./derivation/resolution.js";
/** What the parsers of this room throw. */
export { NixFormatError, type NixFormatErrorCode } from "./errors.js";
/** Separate debug information, found by build id. */
export { type DebugInfoFile, findDebugInfo, printDebugInfoLink } from "./nar/debug-info.js";
/** What is in a NAR, and where, as `.ls` objects of a cache say it. */
export { findInListing, ListingBuilder, type NarListing, printListing } from "./nar/listing.js";
/** Reads the JSON of a listing. */
export { parseListing } from "./nar/listing-parser.js";
/** Reads a NAR as a stream of events. */
export { type NarEvent, parseNar } from "./nar/parser.js";
/** Writes a NAR to disk. */
export { restoreNar } from "./nar/restore.js";
/** The NAR of a file tree, on disk or in memory. */
export { dumpPath, dumpTree, type NarTree } from "./nar/writer.js";
/** Nix's strings: bytes without an encoding, kept losslessly. */
export {
  type ByteString,
  byteStringFromText,
  byteStringToBytes,
  byteStringToText,
  bytesToByteString,
} from "./path/byte-string.js";
/** Content addresses, and the store paths that follow from them. */
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
/** Hashes in all encodings of Nix. */
export {
  createHasher,
  digestSize,
  type Hash,
  type HashAlgorithm,
  type HashEncoding,
  HashedStream,
  hashBytes,
  hashesEqual,
  isHashAlgorithm,
  makeHash,
  parseHash,
  printHash,
  type StreamingHasher,
} from "./path/hash.js";
/** Nix's base 32. */
export { decodeNix32, encodeNix32, nix32Length } from "./path/nix32.js";
/** Store paths: `<hash part>-<name>`, without their folder. */
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
/** Walks the references of paths. */
export { computeClosure, dependenciesFirst, type QueryPathInfos } from "./store/closure.js";
/** What a store knows of a valid path. */
export type { ValidPathInfo } from "./store/path-info.js";
/** Remembers path infos, bounded. */
export { PathInfoCache } from "./store/path-info-cache.js";
/** The interface of a store, and what its methods take and give. */
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
  type NarOptions,
  type Realisation,
  type RootsSession,
  type SessionBuildOptions,
  type Store,
  type StoreSettings,
  type Trust,
} from "./store/store.js";
