/**
 * What the runner and the builder need of a Nix store, whatever is behind it.
 *
 * Nothing here buffers a NAR: contents go through as `AsyncIterable<Uint8Array>` with backpressure.
 */
import { checkArgument, oneOf } from "../../argument-checks.js";
import type { BasicDerivation, Derivation } from "../derivation/derivation.js";
import type { StoreDir, StorePath } from "../path/store-path.js";
import type { ValidPathInfo } from "./path-info.js";

/** A NAR, log or other byte stream; the consumer sets the pace. */
export type ByteStream = AsyncIterable<Uint8Array>;

/** Ends the wait (and, where one is running, the daemon's work) when aborted. */
export interface CancelOptions {
  readonly signal?: AbortSignal;
}

/** How a NAR is read. */
export interface NarOptions extends CancelOptions {
  /** `lent`: a piece may be overwritten once the next one is asked for, which saves a copy. Default `kept`. */
  readonly pieces?: "kept" | "lent" | undefined;
}

/** How a build ended; the words stand for the numbers 0–14 of the worker protocol, in this order. */
export const buildStatuses = [
  "built",
  "substituted",
  "alreadyValid",
  "permanentFailure",
  "inputRejected",
  "outputRejected",
  "transientFailure",
  "cachedFailure",
  "timedOut",
  "miscFailure",
  "dependencyFailed",
  "logLimitExceeded",
  "notDeterministic",
  "resolvesToAlreadyValid",
  "noSubstituters",
] as const;
/** The outcome of a build, as the daemon reports it; the order of `buildStatuses` is that of the worker protocol. */
export type BuildStatus = (typeof buildStatuses)[number];

/** The daemon's report on one derivation. */
export interface BuildResult {
  readonly status: BuildStatus;
  /** The daemon's words without terminal escapes and NUL bytes; may hold several lines. Empty on success. */
  readonly errorMessage: string;
  /** Output name → where it is. May be empty after a failure, and in answers of old daemons. */
  readonly builtOutputs: ReadonlyMap<string, StorePath>;
  readonly timesBuilt: number;
  readonly isNonDeterministic: boolean;
  /** Seconds since the epoch, 0 when nothing was started. */
  readonly startTime: number;
  /** Seconds since the epoch, 0 when unknown. */
  readonly stopTime: number;
  /** Microseconds of CPU time, where the daemon measures them (cgroups, protocol 1.37 or newer). */
  readonly cpuUser?: number;
  readonly cpuSystem?: number;
}

/** Whether the build produced (or found) its outputs. */
export function buildSucceeded(status: BuildStatus): boolean {
  checkArgument("buildSucceeded", "status", status, oneOf(buildStatuses));
  return (
    status === "built" ||
    status === "substituted" ||
    status === "alreadyValid" ||
    status === "resolvesToAlreadyValid"
  );
}

/** Settings of one connection to the store; unset ones keep the value given at each field. */
export interface StoreSettings {
  /** Fall back to building when a substitution fails. Default true. */
  readonly tryFallback?: boolean;
  /** Seconds without a log line after which a build is killed; 0 or negative is "no limit". Default 0. */
  readonly maxSilentTime?: number;
  /** Seconds after which a build is killed; 0 or negative is "no limit". Default 0. */
  readonly timeout?: number;
  /** Bytes of log after which a build is killed; 0 or negative is "no limit". Default 0. */
  readonly maxLogSize?: number;
  /** NIX_BUILD_CORES; 0 is "all". Default 0. */
  readonly buildCores?: number;
  /** Builds the daemon may run for this connection at once. Default 1. */
  readonly maxBuildJobs?: number;
  /** Let the daemon substitute. Default true. */
  readonly useSubstitutes?: boolean;
  /** Seconds a substituter's "not there" is believed; undefined leaves the daemon's own setting. */
  readonly narinfoNegativeTtl?: number;
  readonly keepFailed?: boolean;
  readonly keepGoing?: boolean;
  /** More settings by Nix name; they win over everything above. `builders` is always set to empty unless given here. */
  readonly overrides?: ReadonlyMap<string, string>;
}

/** How a derivation is built. */
export interface BuildOptions extends StoreSettings, CancelOptions {
  /**
   * One line of the build log, without its newline. A line has no length limit, so a long one comes in several
   * pieces; `complete` is false for all but the last. While the returned promise is pending no more is read from
   * the daemon (after a bounded queue is full), which in the end pauses the build: do not take long.
   */
  onLog?(line: Uint8Array, complete: boolean): void | Promise<void>;
  /**
   * Called with the result while the build's connection (and with it the temporary roots on its outputs) is still
   * open: the place to add your own roots.
   */
  onResult?(result: BuildResult): void | Promise<void>;
  readonly mode?: BuildMode;
}

/** The settings are those of the session. */
export type SessionBuildOptions = Pick<BuildOptions, "onLog" | "mode" | "signal">;

/** `repair`: build even though outputs are valid, and replace them. `check`: build again and compare. */
export type BuildMode = "normal" | "repair" | "check";

/** How a path is imported. `repair`: replace one that is valid already; default false. */
export interface AddToStoreOptions extends CancelOptions {
  readonly repair?: boolean;
  /** Default false, which needs a trusted user unless the path is content-addressed. */
  readonly checkSignatures?: boolean;
}

/** What is to be built or fetched: a path, or outputs of a derivation (`"*"` = all of them). */
export type DerivedPath =
  | { readonly kind: "opaque"; readonly path: StorePath }
  | { readonly kind: "built"; readonly drvPath: StorePath; readonly outputs: readonly string[] | "*" };

/** Where an output of a content-addressed derivation ended up. */
export interface Realisation {
  readonly outPath: StorePath;
  readonly signatures: readonly string[];
}

/**
 * Names the output of a derivation. Old protocols know it by `sha256:<hex of the derivation's hash modulo>`, newer
 * ones by the path of the derivation; give both when known.
 */
export interface DrvOutputId {
  readonly drvPath?: StorePath;
  /** `sha256:<64 hex digits>` */
  readonly drvHash?: string;
  readonly outputName: string;
}

/** Answer of "what would have to be done for …". */
export interface MissingPaths {
  readonly willBuild: readonly StorePath[];
  readonly willSubstitute: readonly StorePath[];
  readonly unknown: readonly StorePath[];
  /** Bytes. */
  readonly downloadSize: number;
  readonly narSize: number;
}

/** Temporary garbage collector roots; they protect the closures of the given paths until `close()`. */
export interface RootsSession extends AsyncDisposable {
  /** A path need not be valid (yet): take the root first, ask for validity second. */
  addTempRoots(paths: readonly StorePath[], options?: CancelOptions): Promise<void>;
  close(): Promise<void>;
}

/**
 * A roots session that can build as well, one thing at a time. A build's outputs have temporary roots here when it is
 * done. Roots may last for a while after `close()`, because the store may keep the connection for a later session with
 * the same settings; a session in which something failed or was aborted ends with its connection.
 */
export interface BuildSession extends RootsSession {
  /** Builds one resolved derivation, which need not be in the store. */
  build(drvPath: StorePath, drv: BasicDerivation, options?: SessionBuildOptions): Promise<BuildResult>;
}

/** Whether the daemon does what we ask without signatures: `unknown` for protocols before 1.35. */
export type Trust = "trusted" | "notTrusted" | "unknown";

/** A Nix store. All methods reject with `DaemonError`, or with the reason of their `signal`. */
export interface Store extends AsyncDisposable {
  /** The logical store directory, as paths are printed. */
  readonly storeDir: StoreDir;
  /** Where the files really are; differs from `storeDir` for chroot stores. */
  readonly realStoreDir: string;
  /** Whether the store's daemon does what we ask without signatures. */
  readonly trust: Trust;

  /** Undefined when the path is not valid. */
  queryPathInfo(path: StorePath, options?: CancelOptions): Promise<ValidPathInfo | undefined>;
  /** Pipelined; paths that are not valid are left out. */
  queryPathInfos(
    paths: readonly StorePath[],
    options?: CancelOptions,
  ): Promise<Map<StorePath, ValidPathInfo>>;
  /** Whether the path is registered, with its contents and references. */
  isValidPath(path: StorePath, options?: CancelOptions): Promise<boolean>;
  /** One question for many paths. `substitute`: let the daemon fetch what substituters have. */
  queryValidPaths(
    paths: readonly StorePath[],
    options?: CancelOptions & { readonly substitute?: boolean },
  ): Promise<Set<StorePath>>;
  /** The valid paths that refer to `path`. */
  queryReferrers(path: StorePath, options?: CancelOptions): Promise<Set<StorePath>>;
  /** The valid path with this hash part (32 characters); undefined when there is none. */
  queryPathFromHashPart(hashPart: string, options?: CancelOptions): Promise<StorePath | undefined>;
  /**
   * Everything reachable from `roots`, dependencies before dependents; invalid paths are left out. A root whose path
   * info is given is not asked about again.
   */
  closure(roots: readonly (StorePath | ValidPathInfo)[], options?: CancelOptions): Promise<ValidPathInfo[]>;

  /** The contents of a valid path as exactly one NAR. Breaking off costs a connection, nothing else. */
  narFromPath(path: StorePath, options?: NarOptions): ByteStream;
  /** The derivation behind a `.drv` path. Rejects when the path is not valid or not a derivation. */
  readDerivation(path: StorePath, options?: CancelOptions): Promise<Derivation>;

  /**
   * The references must be valid already. A path that is valid already succeeds without reading all of `nar`. A piece of
   * `nar` is not used any more once the next one is asked for.
   */
  addToStoreNar(info: ValidPathInfo, nar: ByteStream, options?: AddToStoreOptions): Promise<void>;
  /** Adds several paths over one connection, in the given order. */
  addMultipleToStore(
    items: AsyncIterable<{ readonly info: ValidPathInfo; readonly nar: ByteStream }>,
    count: number,
    options?: AddToStoreOptions,
  ): Promise<void>;
  /** Adds a flat file with references (a `.drv`); returns its path. */
  addTextToStore(
    name: string,
    contents: Uint8Array,
    references: readonly StorePath[],
    options?: CancelOptions & { readonly repair?: boolean },
  ): Promise<StorePath>;
  /** Adds signatures (`<key name>:<base64>`) to those of a valid path. */
  addSignatures(path: StorePath, signatures: readonly string[], options?: CancelOptions): Promise<void>;

  /**
   * Deletes a path that nothing needs.
   *
   * @throws DaemonError `remote` when it is valid and a root or another path needs it
   */
  deletePath(path: StorePath, options?: CancelOptions): Promise<void>;

  /** Makes the path valid, by substitution if need be; rejects when that is impossible. */
  ensurePath(path: StorePath, options?: CancelOptions & StoreSettings): Promise<void>;
  /** Makes `link` (outside of the store) a permanent root of `path`. */
  addPermRoot(path: StorePath, link: string, options?: CancelOptions): Promise<void>;
  /** A session for temporary roots, which last until it is closed. */
  rootsSession(options?: CancelOptions): Promise<RootsSession>;
  /** For builds with these settings. */
  buildSession(settings: StoreSettings, options?: CancelOptions): Promise<BuildSession>;

  /** Where an output of a content-addressed derivation is; undefined when the store does not know. */
  queryRealisation(id: DrvOutputId, options?: CancelOptions): Promise<Realisation | undefined>;
  /** Records a realisation. Needs the experimental feature `ca-derivations`. */
  registerDrvOutput(id: DrvOutputId, realisation: Realisation, options?: CancelOptions): Promise<void>;
  /** The outputs of a derivation in the store; `undefined` for outputs that are not known yet. */
  queryDerivationOutputMap(
    drvPath: StorePath,
    options?: CancelOptions,
  ): Promise<Map<string, StorePath | undefined>>;
  /**
   * What a build of `targets` would build and substitute, with sizes in bytes. Asks substituters, so it may take
   * long.
   */
  queryMissing(targets: readonly DerivedPath[], options?: CancelOptions): Promise<MissingPaths>;

  /** Builds one resolved derivation, which need not be in the store, on a connection of its own. */
  buildDerivation(drvPath: StorePath, drv: BasicDerivation, options?: BuildOptions): Promise<BuildResult>;
  /** Builds targets with everything they need; the order of the answers is the order of the targets. */
  buildPaths(
    targets: readonly DerivedPath[],
    options?: BuildOptions,
  ): Promise<{ readonly target: DerivedPath; readonly result: BuildResult }[]>;

  /** Closes all connections; calls under way reject. */
  close(): Promise<void>;
}
