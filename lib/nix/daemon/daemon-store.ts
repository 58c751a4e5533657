/** A store behind a nix-daemon: each method is one or a few operations of the worker protocol. */

import { join } from "node:path";
import {
  aLogger,
  anAmount,
  anObject,
  aSignal,
  aStream,
  aText,
  checkArgument,
  checkMade,
  checkMembers,
  hasMembers,
  manyOf,
  oneOf,
  optional,
  someBytes,
  someTexts,
} from "../../argument-checks.js";
import { type Logger, silentLogger } from "../../log.js";
import { aHash, checkBasicDerivation } from "../argument-rules.js";
import type { BasicDerivation, Derivation } from "../derivation/derivation.js";
import { parseDerivation } from "../derivation/parser.js";
import type { ByteString } from "../path/byte-string.js";
import { derivationName, printStorePath, type StoreDir, type StorePath } from "../path/store-path.js";
import { computeClosure } from "../store/closure.js";
import type { ValidPathInfo } from "../store/path-info.js";
import { PathInfoCache } from "../store/path-info-cache.js";
import { SmallFiles } from "../store/small-files.js";
import type {
  AddToStoreOptions,
  BuildOptions,
  BuildResult,
  BuildSession,
  ByteStream,
  CancelOptions,
  DerivedPath,
  DrvOutputId,
  MissingPaths,
  NarOptions,
  Realisation,
  RootsSession,
  Store,
  StoreSettings,
  Trust,
} from "../store/store.js";
import { matchBuildResults, runBuild } from "./build.js";
import type { DaemonConnection } from "./connection.js";
import { cancel, DaemonConnections } from "./connections.js";
import { DaemonError } from "./error.js";
import { narFileContents, readNar } from "./nar.js";
import type { ServerInfo } from "./protocol/handshake.js";
import * as operations from "./protocol/operations.js";
import { DaemonRootsSession, replaceSymlink } from "./roots.js";
import { type Environment, parseStoreUri, type StoreAddress } from "./store-uri.js";
import { exactly, once, type PathToAdd, packPaths } from "./upload-bodies.js";

/** What a store behind a daemon is opened with. */
export interface DaemonStoreOptions {
  /** As `NIX_REMOTE`; default: that variable. See `parseStoreUri`. */
  readonly remote?: string;
  /** Default: the environment of this process. */
  readonly env?: Environment;
  /**
   * Connections for questions; three times as many serve transfers. Builds and root sessions have their own. Default 8.
   */
  readonly poolSize?: number;
  /** Milliseconds an unused connection is kept. Default 30 000. */
  readonly maxIdleMs?: number;
  /** Milliseconds after which a connection is replaced. Default 600 000. */
  readonly maxAgeMs?: number;
  /** Sent on each pooled connection; without it the daemon's own configuration holds there. */
  readonly settings?: StoreSettings;
  /** Path infos remembered for closures. Default 50 000. */
  readonly pathInfoCacheSize?: number;
  readonly logger?: Logger;
}

const someTargets = manyOf("a list of targets", hasMembers({ kind: oneOf(["opaque", "built"]) }));

const storeRules = {
  remote: optional(aText),
  env: optional(anObject),
  poolSize: optional(anAmount),
  maxIdleMs: optional(anAmount),
  maxAgeMs: optional(anAmount),
  settings: optional(anObject),
  pathInfoCacheSize: optional(anAmount),
  logger: optional(aLogger),
  signal: optional(aSignal),
};

/** Largest `.drv` file that is read. */
const maxDerivationSize = 256 << 20;
/** Paths per validity question, so that a huge set does not block daemon and client for long. */
const validityBatch = 20_000;
/** Path infos asked for in a row; what is done between two rows takes a turn of the event loop. */
const infosBatch = 10_000;

/** A store behind a nix-daemon. */
export class DaemonStore implements Store {
  readonly storeDir: StoreDir;
  readonly realStoreDir: string;
  readonly stateDir: string;
  /** What the daemon reported about itself when the store was opened. */
  readonly server: ServerInfo;
  readonly #connections: DaemonConnections;
  readonly #cache: PathInfoCache;
  readonly #files = new SmallFiles();

  private constructor(
    address: StoreAddress,
    server: ServerInfo,
    connections: DaemonConnections,
    cache: PathInfoCache,
  ) {
    checkMade("DaemonStore", "DaemonStore.open()", connections instanceof DaemonConnections);
    this.storeDir = address.storeDir;
    this.realStoreDir = address.realStoreDir;
    this.stateDir = address.stateDir;
    this.server = server;
    this.#connections = connections;
    this.#cache = cache;
  }

  /** Opens a store and one connection to it, which proves that the daemon answers. @throws DaemonError */
  static async open(options: DaemonStoreOptions & CancelOptions = {}): Promise<DaemonStore> {
    checkMembers("DaemonStore.open", options, storeRules);
    const address = parseStoreUri(options.remote, options.env);
    const { logger = silentLogger } = options;
    const connections = new DaemonConnections(address, options);
    const server = await connections.ask(async (connection) => connection.server, options);
    logger.info("connected to the Nix store", {
      store: options.remote ?? "default",
      nix: server.nixVersion,
      protocol: `1.${server.minor}`,
      trust: server.trust,
    });
    return new DaemonStore(address, server, connections, new PathInfoCache(options.pathInfoCacheSize));
  }

  /** Protocol version as text, for instance `1.34`. */
  get protocol(): string {
    return `1.${this.server.minor}`;
  }

  get trust(): Trust {
    return this.server.trust;
  }

  /** Connections in use, idle, and callers waiting for one. */
  get poolCounts(): DaemonConnections["counts"] {
    return this.#connections.counts;
  }

  /** Asks the daemon for a sign of life. @throws DaemonError */
  async ping(options: CancelOptions = {}): Promise<void> {
    await this.#connections.run(operations.queryValidPaths([], false), options);
  }

  queryPathInfo(path: StorePath, options: CancelOptions = {}): Promise<ValidPathInfo | undefined> {
    return this.#connections.run(operations.queryPathInfo(path), options);
  }

  async queryPathInfos(
    paths: readonly StorePath[],
    options: CancelOptions = {},
  ): Promise<Map<StorePath, ValidPathInfo>> {
    checkArgument("Store.queryPathInfos", "paths", paths, someTexts);
    const wanted = [...new Set(paths)];
    const found = new Map<StorePath, ValidPathInfo>();
    for (let at = 0; at < wanted.length; at += infosBatch) {
      const batch = wanted.slice(at, at + infosBatch).map(operations.queryPathInfo);
      for (const info of await this.#connections.pipeline(batch, options)) {
        if (info !== undefined) found.set(info.path, info);
      }
    }
    return found;
  }

  isValidPath(path: StorePath, options: CancelOptions = {}): Promise<boolean> {
    return this.#connections.run(operations.isValidPath(path), options);
  }

  async queryValidPaths(
    paths: readonly StorePath[],
    options: CancelOptions & { readonly substitute?: boolean } = {},
  ): Promise<Set<StorePath>> {
    checkArgument("Store.queryValidPaths", "paths", paths, someTexts);
    const valid = new Set<StorePath>();
    for (let at = 0; at < paths.length; at += validityBatch) {
      const batch = paths.slice(at, at + validityBatch);
      const found = await this.#connections.run(
        operations.queryValidPaths(batch, options.substitute ?? false),
        options,
      );
      for (const path of found) valid.add(path);
    }
    return valid;
  }

  async queryReferrers(path: StorePath, options: CancelOptions = {}): Promise<Set<StorePath>> {
    return new Set(await this.#connections.run(operations.queryReferrers(path), options));
  }

  queryPathFromHashPart(hashPart: string, options: CancelOptions = {}): Promise<StorePath | undefined> {
    return this.#connections.run(operations.queryPathFromHashPart(hashPart), options);
  }

  /** All valid paths; for large stores an answer of many megabytes. */
  async queryAllValidPaths(options: CancelOptions = {}): Promise<Set<StorePath>> {
    return new Set(await this.#connections.run(operations.queryAllValidPaths(), options));
  }

  closure(
    roots: readonly (StorePath | ValidPathInfo)[],
    options: CancelOptions = {},
  ): Promise<ValidPathInfo[]> {
    return computeClosure(roots, (unknown) => this.queryPathInfos(unknown, options), this.#cache);
  }

  narFromPath(path: StorePath, options: NarOptions = {}): ByteStream {
    return this.#connections.stream((connection) => this.#nar(connection, path, options), options);
  }

  #nar(connection: DaemonConnection, path: StorePath, options: NarOptions): ByteStream {
    // First the root, then the question: what is valid after that stays until the connection ends.
    return connection.download(
      operations.addTempRoot(path),
      operations.queryPathInfo(path),
      operations.narFromPath(path),
      (info) => {
        if (info === undefined) throw this.#invalid(path);
        return (reader) => readNar(reader, info.narSize, options.pieces);
      },
      options,
    );
  }

  /** Trusts the file when it is there, and asks the daemon when it cannot be read. */
  async readDerivation(path: StorePath, options: CancelOptions = {}): Promise<Derivation> {
    let contents: Uint8Array | ByteString;
    try {
      contents = await this.#files.read(join(this.realStoreDir, path), options.signal);
    } catch {
      contents = await narFileContents(this.narFromPath(path, options), maxDerivationSize);
    }
    return parseDerivation(this.storeDir, derivationName(path), contents);
  }

  addToStoreNar(info: ValidPathInfo, nar: ByteStream, options: AddToStoreOptions = {}): Promise<void> {
    checkMembers("Store.addToStoreNar", info, {
      path: aText,
      narHash: aHash,
      narSize: anAmount,
      references: someTexts,
    });
    checkArgument("Store.addToStoreNar", "nar", nar, aStream);
    const { repair = false, checkSignatures = false } = options;
    const operation = operations.addToStoreNar(info, repair, checkSignatures);
    return this.#connections.upload(operation, exactly(nar, info.narSize), options);
  }

  addMultipleToStore(
    items: AsyncIterable<PathToAdd>,
    count: number,
    options: AddToStoreOptions = {},
  ): Promise<void> {
    checkArgument("Store.addMultipleToStore", "items", items, aStream);
    checkArgument("Store.addMultipleToStore", "count", count, anAmount);
    const { repair = false, checkSignatures = false } = options;
    return this.#connections.transfer(
      (connection) =>
        connection.upload(
          operations.addMultipleToStore(repair, checkSignatures),
          packPaths(connection.context, items, count),
          options,
        ),
      options,
    );
  }

  async addTextToStore(
    name: string,
    contents: Uint8Array,
    references: readonly StorePath[],
    options: CancelOptions & { readonly repair?: boolean } = {},
  ): Promise<StorePath> {
    checkArgument("Store.addTextToStore", "name", name, aText);
    checkArgument("Store.addTextToStore", "contents", contents, someBytes);
    checkArgument("Store.addTextToStore", "references", references, someTexts);
    const operation = operations.addToStore(name, "text:sha256", references, options.repair ?? false);
    const info = await this.#connections.ask(
      (connection) => connection.upload(operation, once(contents), options),
      options,
    );
    return info.path;
  }

  addSignatures(path: StorePath, signatures: readonly string[], options: CancelOptions = {}): Promise<void> {
    return this.#connections.run(operations.addSignatures(path, signatures), options);
  }

  /** Stores a build's log next to those of the daemon's own builds. Trusted users only. */
  addBuildLog(drvPath: StorePath, log: ByteStream, options: CancelOptions = {}): Promise<void> {
    checkArgument("Store.addBuildLog", "drvPath", drvPath, aText);
    checkArgument("Store.addBuildLog", "log", log, aStream);
    return this.#connections.upload(operations.addBuildLog(drvPath), log, options);
  }

  async ensurePath(path: StorePath, options: CancelOptions & StoreSettings = {}): Promise<void> {
    const { signal, ...settings } = options;
    const operation = operations.ensurePath(path);
    // Settings stay with a connection, so a pooled one must not get any but the common ones.
    if (Object.keys(settings).length === 0) return this.#connections.run(operation, options);
    return this.#connections.withDedicated(settings, cancel(signal), (connection) =>
      connection.run(operation, cancel(signal)),
    );
  }

  async addPermRoot(path: StorePath, link: string, options: CancelOptions = {}): Promise<void> {
    checkArgument("Store.addPermRoot", "path", path, aText);
    checkArgument("Store.addPermRoot", "link", link, aText);
    // Untrusted users may not ask for it, so for them it is as if the daemon could not.
    if (this.server.minor >= 36 && this.server.trust === "trusted") {
      await this.#connections.run(operations.addPermRoot(path, link), options);
      return;
    }
    await replaceSymlink(printStorePath(this.storeDir, path), link);
    await this.addIndirectRoot(link, options);
  }

  /** Registers a symlink that lies outside of the daemon's own directory of roots. */
  addIndirectRoot(link: string, options: CancelOptions = {}): Promise<void> {
    return this.#connections.run(operations.addIndirectRoot(link), options);
  }

  /** All garbage-collector roots that the daemon shows us, each with the path it keeps. */
  findRoots(options: CancelOptions = {}): Promise<operations.GcRoot[]> {
    return this.#connections.run(operations.findRoots(), options);
  }

  async deletePath(path: StorePath, options: CancelOptions = {}): Promise<void> {
    await this.collectGarbage({ action: "deleteSpecific", paths: [path] }, options);
  }

  /** Deletes paths, or lists what could be deleted. */
  collectGarbage(
    collection: operations.GarbageCollection,
    options: CancelOptions = {},
  ): Promise<operations.CollectedGarbage> {
    return this.#connections.run(operations.collectGarbage(collection), options);
  }

  /** Whether errors were found. */
  verifyStore(checkContents: boolean, repair: boolean, options: CancelOptions = {}): Promise<boolean> {
    return this.#connections.run(operations.verifyStore(checkContents, repair), options);
  }

  async rootsSession(options: CancelOptions = {}): Promise<RootsSession> {
    checkMembers("Store.rootsSession", options, { signal: optional(aSignal) });
    const { connection, release } = await this.#connections.dedicate(undefined, options);
    return new DaemonRootsSession(connection, release);
  }

  async buildSession(settings: StoreSettings, options: CancelOptions = {}): Promise<BuildSession> {
    checkArgument("Store.buildSession", "settings", settings, anObject);
    return this.#connections.session(settings, options);
  }

  queryRealisation(id: DrvOutputId, options: CancelOptions = {}): Promise<Realisation | undefined> {
    checkMembers("Store.queryRealisation", id, { outputName: aText });
    return this.#connections.run(operations.queryRealisation(id), options);
  }

  registerDrvOutput(id: DrvOutputId, realisation: Realisation, options: CancelOptions = {}): Promise<void> {
    checkMembers("Store.registerDrvOutput", id, { outputName: aText });
    checkMembers("Store.registerDrvOutput", realisation, { outPath: aText, signatures: someTexts });
    return this.#connections.run(operations.registerDrvOutput(id, realisation), options);
  }

  queryDerivationOutputMap(
    drvPath: StorePath,
    options: CancelOptions = {},
  ): Promise<Map<string, StorePath | undefined>> {
    return this.#connections.run(operations.queryDerivationOutputMap(drvPath), options);
  }

  queryMissing(targets: readonly DerivedPath[], options: CancelOptions = {}): Promise<MissingPaths> {
    checkArgument("Store.queryMissing", "targets", targets, someTargets);
    return this.#connections.run(operations.queryMissing(targets), options);
  }

  async buildDerivation(
    drvPath: StorePath,
    drv: BasicDerivation,
    options: BuildOptions = {},
  ): Promise<BuildResult> {
    checkArgument("Store.buildDerivation", "drvPath", drvPath, aText);
    checkBasicDerivation("Store.buildDerivation", "drv", drv);
    const operation = operations.buildDerivation(drvPath, drv, options.mode);
    return this.#connections.withDedicated(options, options, (connection) =>
      runBuild(connection, operation, options, (result) => options.onResult?.(result)),
    );
  }

  async buildPaths(
    targets: readonly DerivedPath[],
    options: BuildOptions = {},
  ): Promise<{ readonly target: DerivedPath; readonly result: BuildResult }[]> {
    checkArgument("Store.buildPaths", "targets", targets, someTargets);
    const operation = operations.buildPathsWithResults(targets, options.mode);
    return this.#connections.withDedicated(options, options, async (connection) => {
      const results = await runBuild(connection, operation, options, async (answers) => {
        for (const { result } of answers) await options.onResult?.(result);
      });
      return matchBuildResults(this.storeDir, targets, results);
    });
  }

  async close(): Promise<void> {
    this.#connections.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #invalid(path: StorePath): DaemonError {
    return new DaemonError(
      "invalid-path",
      `${printStorePath(this.storeDir, path)} is not valid in the store`,
    );
  }
}
