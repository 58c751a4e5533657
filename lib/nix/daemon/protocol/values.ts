/** Store paths, path infos, derivations and build results as the worker protocol writes them. */

import {
  type BasicDerivation,
  type DerivationOutput,
  derivationOutputPath,
} from "../../derivation/derivation.js";
import { methodPrefix, parseContentAddress, printContentAddress } from "../../path/content-address.js";
import { parseHash, printHash } from "../../path/hash.js";
import {
  compareStorePaths,
  parseFullStorePath,
  printStorePath,
  type StoreDir,
  type StorePath,
} from "../../path/store-path.js";
import type { ValidPathInfo } from "../../store/path-info.js";
import type { DerivedPath } from "../../store/store.js";
import { DaemonError } from "../error.js";
import type { WireReader } from "./reader.js";
import type { WireWriter } from "./writer.js";

/** What the encoding of a value depends on. */
export interface WireContext {
  readonly storeDir: StoreDir;
  /** Agreed minor version of protocol 1. */
  readonly minor: number;
  /** Whether realisations are named by derivation path. */
  readonly realisationWithPath: boolean;
}

/** Longest text of a store path that is accepted. */
const maxPathLength = 8192;

/** Reads a full store path. @throws NixFormatError */
export async function readPath(reader: WireReader, { storeDir }: WireContext): Promise<StorePath> {
  return parseFullStorePath(storeDir, await reader.text(maxPathLength));
}

/** Reads a full store path; undefined for the empty text. @throws NixFormatError */
export async function readOptionalPath(
  reader: WireReader,
  { storeDir }: WireContext,
): Promise<StorePath | undefined> {
  const text = await reader.text(maxPathLength);
  return text === "" ? undefined : parseFullStorePath(storeDir, text);
}

/** Reads a list of full store paths. @throws NixFormatError */
export function readPaths(reader: WireReader, context: WireContext): Promise<StorePath[]> {
  return reader.list(() => readPath(reader, context));
}

/** Writes a full store path. */
export function writePath(writer: WireWriter, { storeDir }: WireContext, path: StorePath): void {
  writer.text(printStorePath(storeDir, path));
}

/** A set: sorted and without duplicates. */
export function writePathSet(writer: WireWriter, context: WireContext, paths: Iterable<StorePath>): void {
  const sorted = [...new Set(paths)].sort(compareStorePaths);
  writer.list(sorted, (path) => writePath(writer, context, path));
}

/** Everything of a path info but the path. */
export async function readUnkeyedPathInfo(
  reader: WireReader,
  context: WireContext,
  path: StorePath,
): Promise<ValidPathInfo> {
  const deriver = await readOptionalPath(reader, context);
  const narHash = parseHash(await reader.text(1024), "sha256");
  const references = (await readPaths(reader, context)).sort(compareStorePaths);
  const registrationTime = await reader.number();
  const narSize = await reader.number();
  const ultimate = await reader.bool();
  const signatures = await reader.list(() => reader.text(maxPathLength));
  const ca = await reader.text(1024);
  return {
    path,
    deriver,
    narHash,
    references,
    registrationTime,
    narSize,
    ultimate,
    signatures,
    ca: ca === "" ? undefined : parseContentAddress(ca),
  };
}

/** Reads a path and its info. @throws NixFormatError */
export async function readPathInfo(reader: WireReader, context: WireContext): Promise<ValidPathInfo> {
  const path = await readPath(reader, context);
  return readUnkeyedPathInfo(reader, context, path);
}

/** Writes a path and its info. */
export function writePathInfo(writer: WireWriter, context: WireContext, info: ValidPathInfo): void {
  writePath(writer, context, info.path);
  writer.text(info.deriver === undefined ? "" : printStorePath(context.storeDir, info.deriver));
  writer.text(printHash(info.narHash, "base16", false));
  writePathSet(writer, context, info.references);
  writer.u64(Math.floor(info.registrationTime)).u64(info.narSize).bool(info.ultimate);
  writer.list(info.signatures, (signature) => writer.text(signature));
  writer.text(info.ca === undefined ? "" : printContentAddress(info.ca));
}

/** What is known of an output's contents: method and hash algorithm, and the hash. */
function contentFields(output: DerivationOutput): readonly [algorithm: string, hash: string] {
  if (output.kind === "inputAddressed" || output.kind === "deferred") return ["", ""];
  if (output.kind === "caFixed") {
    const { method, hash } = output.ca;
    return [methodPrefix(method) + hash.algorithm, printHash(hash, "base16", false)];
  }
  if (output.kind === "foreign") return [output.method, output.hash];
  return [methodPrefix(output.method) + output.algorithm, output.kind === "impure" ? "impure" : ""];
}

/** The derivation itself; its path is sent before it and gives it its name. */
export function writeBasicDerivation(writer: WireWriter, context: WireContext, drv: BasicDerivation): void {
  const { storeDir } = context;
  const outputs = [...drv.outputs].sort(([a], [b]) => (a < b ? -1 : 1));
  writer.list(outputs, ([name, output]) => {
    const path = derivationOutputPath(storeDir, drv, name);
    writer.text(name).text(path === undefined ? "" : printStorePath(storeDir, path));
    const [algorithm, hash] = contentFields(output);
    writer.text(algorithm).text(hash);
  });
  writePathSet(writer, context, drv.inputSources);
  writer.byteString(drv.system).byteString(drv.builder);
  writer.list(drv.args, (argument) => writer.byteString(argument));
  const env = [...drv.env].sort(([a], [b]) => (a < b ? -1 : 1));
  writer.list(env, ([key, value]) => writer.byteString(key).byteString(value));
}

/** A target as the protocol writes it: a store path, or `<drv>!<output>,…` with `*` for all outputs. */
export function printDerivedPath(dir: StoreDir, target: DerivedPath): string {
  if (target.kind === "opaque") return printStorePath(dir, target.path);
  const outputs = target.outputs === "*" ? "*" : [...target.outputs].sort().join(",");
  return `${printStorePath(dir, target.drvPath)}!${outputs}`;
}

/** Writes a list of targets. */
export function writeDerivedPaths(
  writer: WireWriter,
  { storeDir }: WireContext,
  targets: readonly DerivedPath[],
): void {
  writer.list(targets, (target) => writer.text(printDerivedPath(storeDir, target)));
}

/** Runs a parser of untrusted text so that its complaint says where the text came from. */
export async function decoding<T>(what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof DaemonError) throw error;
    throw new DaemonError("protocol", `The nix-daemon's answer to ${what} makes no sense`, { cause: error });
  }
}
