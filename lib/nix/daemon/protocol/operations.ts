/**
 * The operations of the worker protocol: how each writes its request and reads its answer.
 *
 * An `Operation` is a value; a connection runs it. `repeatable` ones may be sent again on another connection when
 * the first one turns out to be dead.
 */

import type { BasicDerivation } from "../../derivation/derivation.js";
import type { StorePath } from "../../path/store-path.js";
import type { ValidPathInfo } from "../../store/path-info.js";
import type {
  BuildMode,
  BuildResult,
  DerivedPath,
  DrvOutputId,
  MissingPaths,
  Realisation,
  StoreSettings,
} from "../../store/store.js";
import { DaemonError } from "../error.js";
import type { operationCode } from "./numbers.js";
import type { WireReader } from "./reader.js";
import { readBuildResult, readRealisation, writeDrvOutput, writeRealisation } from "./results.js";
import {
  readOptionalPath,
  readPathInfo,
  readPaths,
  readUnkeyedPathInfo,
  type WireContext,
  writeBasicDerivation,
  writeDerivedPaths,
  writePath,
  writePathInfo,
  writePathSet,
} from "./values.js";
import type { WireWriter } from "./writer.js";

/** Name of an operation. */
export type OperationName = keyof typeof operationCode;

/** How one request is written and its answer read. */
export interface Operation<T> {
  readonly name: OperationName;
  /** Asking twice does no harm. */
  readonly repeatable: boolean;
  /** Oldest minor version that has it. */
  readonly since?: number;
  write(writer: WireWriter, context: WireContext): void;
  read(reader: WireReader, context: WireContext): Promise<T>;
}

/** Number 1 stands for "done". */
const done = async (reader: WireReader): Promise<void> => void (await reader.u64());
const nothing = async (): Promise<void> => {};

function aboutPath<T>(
  name: OperationName,
  path: StorePath,
  read: Operation<T>["read"],
  repeatable = true,
): Operation<T> {
  return { name, repeatable, write: (writer, context) => writePath(writer, context, path), read };
}

/** Whether a path is valid. */
export const isValidPath = (path: StorePath): Operation<boolean> =>
  aboutPath("isValidPath", path, (reader) => reader.bool());

/** Info of a path; undefined when it is not valid. */
export const queryPathInfo = (path: StorePath): Operation<ValidPathInfo | undefined> =>
  aboutPath("queryPathInfo", path, async (reader, context) =>
    (await reader.bool()) ? readUnkeyedPathInfo(reader, context, path) : undefined,
  );

/** Valid paths that refer to a path. */
export const queryReferrers = (path: StorePath): Operation<StorePath[]> =>
  aboutPath("queryReferrers", path, readPaths);

/** Makes a path valid, by substitution if need be. */
export const ensurePath = (path: StorePath): Operation<void> => aboutPath("ensurePath", path, done);

/** The root lasts as long as the connection. */
export const addTempRoot = (path: StorePath): Operation<void> => aboutPath("addTempRoot", path, done, false);

/** After this answer comes the NAR itself, which delimits itself. */
export const narFromPath = (path: StorePath): Operation<void> => aboutPath("narFromPath", path, nothing);

/** The valid path with this hash part. */
export const queryPathFromHashPart = (hashPart: string): Operation<StorePath | undefined> => ({
  name: "queryPathFromHashPart",
  repeatable: true,
  write: (writer) => void writer.text(hashPart),
  read: readOptionalPath,
});

/** All valid paths of the store. */
export const queryAllValidPaths = (): Operation<StorePath[]> => ({
  name: "queryAllValidPaths",
  repeatable: true,
  write: () => {},
  read: readPaths,
});

/** Those of the given paths that are valid. */
export const queryValidPaths = (
  paths: readonly StorePath[],
  substitute: boolean,
): Operation<StorePath[]> => ({
  name: "queryValidPaths",
  repeatable: true,
  write: (writer, context) => {
    writePathSet(writer, context, paths);
    writer.bool(substitute);
  },
  read: readPaths,
});

/** What would have to be built or fetched. */
export const queryMissing = (targets: readonly DerivedPath[]): Operation<MissingPaths> => ({
  name: "queryMissing",
  repeatable: true,
  write: (writer, context) => writeDerivedPaths(writer, context, targets),
  read: async (reader, context) => ({
    willBuild: await readPaths(reader, context),
    willSubstitute: await readPaths(reader, context),
    unknown: await readPaths(reader, context),
    downloadSize: await reader.number(),
    narSize: await reader.number(),
  }),
});

/** Outputs of a derivation; undefined for those that are not known yet. */
export const queryDerivationOutputMap = (drvPath: StorePath): Operation<Map<string, StorePath | undefined>> =>
  aboutPath(
    "queryDerivationOutputMap",
    drvPath,
    async (reader, context) =>
      new Map(
        await reader.list(async (): Promise<[string, StorePath | undefined]> => {
          const name = await reader.text();
          return [name, await readOptionalPath(reader, context)];
        }),
      ),
  );

/** Where an output is. */
export const queryRealisation = (id: DrvOutputId): Operation<Realisation | undefined> => ({
  name: "queryRealisation",
  repeatable: true,
  write: (writer, context) => writeDrvOutput(writer, context, id),
  read: readRealisation,
});

/** Registers where an output is. */
export const registerDrvOutput = (id: DrvOutputId, realisation: Realisation): Operation<void> => ({
  name: "registerDrvOutput",
  repeatable: false,
  write: (writer, context) => writeRealisation(writer, context, id, realisation),
  read: nothing,
});

/** Adds signatures to a valid path. */
export const addSignatures = (path: StorePath, signatures: readonly string[]): Operation<void> => ({
  name: "addSignatures",
  repeatable: true,
  write: (writer, context) => {
    writePath(writer, context, path);
    writer.list(signatures, (signature) => writer.text(signature));
  },
  read: done,
});

/** Registers a symlink as a root. */
export const addIndirectRoot = (link: string): Operation<void> => ({
  name: "addIndirectRoot",
  repeatable: true,
  write: (writer) => void writer.text(link),
  read: done,
});

/** Makes a symlink and registers it as a root. */
export const addPermRoot = (path: StorePath, link: string): Operation<void> => ({
  name: "addPermRoot",
  repeatable: true,
  since: 36,
  write: (writer, context) => {
    writePath(writer, context, path);
    writer.text(link);
  },
  read: async (reader) => void (await reader.text()),
});

/** A root of the garbage collector. */
export interface GcRoot {
  /** A file, or a placeholder such as `{temp:<pid>}` or `{censored}`. */
  readonly link: string;
  readonly path: StorePath;
}

/** All roots that the caller may see. */
export const findRoots = (): Operation<GcRoot[]> => ({
  name: "findRoots",
  repeatable: true,
  write: () => {},
  read: async (reader, context) => {
    const roots = await reader.list(async () => ({
      link: await reader.text(),
      path: await readOptionalPath(reader, context),
    }));
    return roots.flatMap(({ link, path }) => (path === undefined ? [] : [{ link, path }]));
  },
});

/** What the garbage collector is asked to do. */
export interface GarbageCollection {
  readonly action: "returnLive" | "returnDead" | "deleteDead" | "deleteSpecific";
  /** For `deleteSpecific`. */
  readonly paths?: readonly StorePath[];
  /** Stop after so many bytes. Default: no limit. */
  readonly maxFreed?: bigint;
}

/** What the garbage collector found or deleted. */
export interface CollectedGarbage {
  /** Full paths, also of files that are not valid store paths. */
  readonly paths: readonly string[];
  readonly bytesFreed: number;
}

const gcActions = ["returnLive", "returnDead", "deleteDead", "deleteSpecific"] as const;

/** Runs the garbage collector. */
export const collectGarbage = (collection: GarbageCollection): Operation<CollectedGarbage> => ({
  name: "collectGarbage",
  repeatable: false,
  write: (writer, context) => {
    writer.u64(gcActions.indexOf(collection.action));
    writePathSet(writer, context, collection.paths ?? []);
    // Not ignoring liveness; then the limit and three numbers without meaning.
    writer.bool(false).u64(collection.maxFreed ?? 0xffff_ffff_ffff_ffffn);
    writer.u64(0).u64(0).u64(0);
  },
  read: async (reader) => {
    const paths = await reader.list(() => reader.text());
    const bytesFreed = Number(await reader.u64());
    await reader.u64();
    return { paths, bytesFreed };
  },
});

/** Checks the store; whether errors were found. */
export const verifyStore = (checkContents: boolean, repair: boolean): Operation<boolean> => ({
  name: "verifyStore",
  repeatable: true,
  write: (writer) => void writer.bool(checkContents).bool(repair),
  read: (reader) => reader.bool(),
});

const buildModes = ["normal", "repair", "check"] as const satisfies readonly BuildMode[];

/** Builds one resolved derivation. */
export const buildDerivation = (
  drvPath: StorePath,
  drv: BasicDerivation,
  mode: BuildMode = "normal",
): Operation<BuildResult> => ({
  name: "buildDerivation",
  repeatable: false,
  write: (writer, context) => {
    writePath(writer, context, drvPath);
    writeBasicDerivation(writer, context, drv);
    writer.u64(buildModes.indexOf(mode));
  },
  read: readBuildResult,
});

/** Builds targets; one result for each. */
export const buildPathsWithResults = (
  targets: readonly DerivedPath[],
  mode: BuildMode = "normal",
): Operation<{ readonly name: string; readonly result: BuildResult }[]> => ({
  name: "buildPathsWithResults",
  repeatable: false,
  since: 34,
  write: (writer, context) => {
    writeDerivedPaths(writer, context, targets);
    writer.u64(buildModes.indexOf(mode));
  },
  read: (reader, context) =>
    reader.list(async () => ({ name: await reader.text(), result: await readBuildResult(reader, context) })),
});

// The four below are followed by a framed body.

/** Adds a path; its NAR follows as frames. */
export const addToStoreNar = (
  info: ValidPathInfo,
  repair: boolean,
  checkSignatures: boolean,
): Operation<void> => ({
  name: "addToStoreNar",
  repeatable: false,
  write: (writer, context) => {
    writePathInfo(writer, context, info);
    writer.bool(repair).bool(!checkSignatures);
  },
  read: nothing,
});

/** Adds paths; a count, infos and NARs follow as frames. */
export const addMultipleToStore = (repair: boolean, checkSignatures: boolean): Operation<void> => ({
  name: "addMultipleToStore",
  repeatable: false,
  write: (writer) => void writer.bool(repair).bool(!checkSignatures),
  read: nothing,
});

/** `method`: `text:sha256`, `fixed:sha256`, `fixed:r:sha256` … */
export const addToStore = (
  name: string,
  method: string,
  references: readonly StorePath[],
  repair: boolean,
): Operation<ValidPathInfo> => ({
  name: "addToStore",
  repeatable: false,
  write: (writer, context) => {
    writer.text(name).text(method);
    writePathSet(writer, context, references);
    writer.bool(repair);
  },
  read: readPathInfo,
});

/** Stores a build log, which follows as frames. */
export const addBuildLog = (drvPath: StorePath): Operation<void> => ({
  name: "addBuildLog",
  repeatable: false,
  write: (writer) => void writer.text(drvPath),
  read: done,
});

/** A number of seconds or bytes as Nix takes it: a negative one would be "at once" or a huge number. */
function limit(value: number | undefined): number {
  return value === undefined || !(value > 0) ? 0 : Math.min(Math.floor(value), 0x7fff_ffff);
}

/** Settings for everything that follows on the connection. */
export const setOptions = (settings: StoreSettings): Operation<void> => ({
  name: "setOptions",
  repeatable: true,
  write: (writer) => {
    const overrides = new Map<string, string>([
      // Else the daemon may hand the build on to machines of its own.
      ["builders", ""],
      ["timeout", String(limit(settings.timeout))],
      ["max-build-log-size", String(Math.max(0, Math.floor(settings.maxLogSize ?? 0)) || 0)],
    ]);
    if (settings.narinfoNegativeTtl !== undefined) {
      overrides.set("narinfo-cache-negative-ttl", String(limit(settings.narinfoNegativeTtl)));
    }
    for (const [key, value] of settings.overrides ?? []) overrides.set(key, value);
    writer.bool(settings.keepFailed ?? false).bool(settings.keepGoing ?? false);
    writer.bool(settings.tryFallback ?? true);
    // Verbosity 0: errors only.
    writer
      .u64(0)
      .u64(limit(settings.maxBuildJobs ?? 1))
      .u64(limit(settings.maxSilentTime));
    // An obsolete "use build hook", verbose build (0 is yes), two obsolete ones.
    writer.u64(1).u64(0).u64(0).u64(0);
    writer.u64(limit(settings.buildCores)).bool(settings.useSubstitutes ?? true);
    writer.list([...overrides], ([key, value]) => writer.text(key).text(value));
  },
  read: nothing,
});

/** @throws DaemonError `unsupported` */
export function requireSupport(operation: Operation<unknown>, minor: number): void {
  if (operation.since !== undefined && minor < operation.since) {
    throw new DaemonError(
      "unsupported",
      `The nix-daemon speaks protocol 1.${minor}; ${operation.name} needs 1.${operation.since}`,
    );
  }
}
