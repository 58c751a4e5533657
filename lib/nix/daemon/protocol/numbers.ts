/** The magic numbers of the Nix worker protocol (NixOS/nix, `worker-protocol.hh` and `logging.hh`). */

/** First number that a client sends. */
export const clientMagic = 0x6e697863;
/** First number that a daemon answers. */
export const serverMagic = 0x6478696f;

/** Minor versions of protocol 1 that we speak: Nix 2.4 has 1.32, Nix 2.24 and later 1.38. */
export const oldestMinor = 32;
/** Newest minor version that we speak. */
export const newestMinor = 38;

/** Realisations are named by derivation path instead of a hash (Nix 2.35 and later). */
export const realisationWithPathFeature = "realisation-with-path-not-hash";

/** Numbers of the operations. */
export const operationCode = {
  isValidPath: 1,
  queryReferrers: 6,
  addToStore: 7,
  buildPaths: 9,
  ensurePath: 10,
  addTempRoot: 11,
  addIndirectRoot: 12,
  findRoots: 14,
  setOptions: 19,
  collectGarbage: 20,
  queryAllValidPaths: 23,
  queryPathInfo: 26,
  queryPathFromHashPart: 29,
  queryValidPaths: 31,
  verifyStore: 35,
  buildDerivation: 36,
  addSignatures: 37,
  narFromPath: 38,
  addToStoreNar: 39,
  queryMissing: 40,
  queryDerivationOutputMap: 41,
  registerDrvOutput: 42,
  queryRealisation: 43,
  addMultipleToStore: 44,
  addBuildLog: 45,
  buildPathsWithResults: 46,
  addPermRoot: 47,
} as const;

/** Messages the server may send before an answer. */
export const stderrCode = {
  last: 0x616c7473,
  error: 0x63787470,
  next: 0x6f6c6d67,
  startActivity: 0x53545254,
  stopActivity: 0x53544f50,
  result: 0x52534c54,
  write: 0x64617416,
} as const;

/** Results of activities that carry log lines. */
export const resultCode = { buildLogLine: 101, postBuildLogLine: 107 } as const;

/** Frames of an upload are at most this long: a daemon keeps one whole. */
export const maxFrameSize = 256 << 10;
