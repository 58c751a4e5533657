/** Build results and realisations, whose encodings differ most between protocol versions. */

import { parseFullStorePath, parseStorePath, printStorePath, type StorePath } from "../../path/store-path.js";
import { type BuildResult, buildStatuses, type DrvOutputId, type Realisation } from "../../store/store.js";
import { cleanDaemonText, DaemonError } from "../error.js";
import type { WireReader } from "./reader.js";
import type { WireContext } from "./values.js";
import { readPath } from "./values.js";
import type { WireWriter } from "./writer.js";

/** Reads how a build ended. */
export async function readBuildResult(reader: WireReader, context: WireContext): Promise<BuildResult> {
  const number = await reader.number();
  const status = buildStatuses[number];
  if (status === undefined) {
    throw new DaemonError("protocol", `The nix-daemon sent the unknown build status ${number}`);
  }
  const errorMessage = cleanDaemonText(await reader.clipped(256 << 10));
  const timesBuilt = await reader.number();
  const isNonDeterministic = await reader.bool();
  const startTime = await reader.signed();
  const stopTime = await reader.signed();
  const cpuUser = context.minor >= 37 ? await readOptionalMicroseconds(reader) : undefined;
  const cpuSystem = context.minor >= 37 ? await readOptionalMicroseconds(reader) : undefined;
  const builtOutputs = new Map(await reader.list(() => readBuiltOutput(reader, context)));
  return {
    status,
    errorMessage,
    builtOutputs,
    timesBuilt,
    isNonDeterministic,
    startTime,
    stopTime,
    ...(cpuUser === undefined ? {} : { cpuUser }),
    ...(cpuSystem === undefined ? {} : { cpuSystem }),
  };
}

async function readOptionalMicroseconds(reader: WireReader): Promise<number | undefined> {
  const tag = await reader.number();
  if (tag > 1) throw new DaemonError("protocol", `The nix-daemon sent the tag ${tag} for an optional value`);
  return tag === 1 ? reader.signed() : undefined;
}

async function readBuiltOutput(reader: WireReader, context: WireContext): Promise<[string, StorePath]> {
  const id = await reader.text();
  if (context.realisationWithPath) {
    return [id, (await readUnkeyedRealisation(reader, context)).outPath];
  }
  // `sha256:<hex>!<output>`; newer daemons send zeros for the hash.
  return [id.slice(id.lastIndexOf("!") + 1), parseRealisation(await reader.text(), context).outPath];
}

async function readUnkeyedRealisation(reader: WireReader, context: WireContext): Promise<Realisation> {
  const outPath = await readPath(reader, context);
  return { outPath, signatures: await reader.list(() => reader.text()) };
}

function parseRealisation(json: string, { storeDir }: WireContext): Realisation {
  const value: unknown = JSON.parse(json);
  if (typeof value !== "object" || value === null || !("outPath" in value)) {
    throw new DaemonError("protocol", "The nix-daemon sent a realisation without a path");
  }
  const { outPath } = value;
  if (typeof outPath !== "string") {
    throw new DaemonError("protocol", "The nix-daemon sent a realisation whose path is not a string");
  }
  const signatures: unknown[] =
    "signatures" in value && Array.isArray(value.signatures) ? value.signatures : [];
  return {
    // A base name by the letter of the format; some daemons print the directory as well.
    outPath: outPath.startsWith("/") ? parseFullStorePath(storeDir, outPath) : parseStorePath(outPath),
    signatures: signatures.filter((each) => typeof each === "string"),
  };
}

function hashId(id: DrvOutputId): string {
  if (id.drvHash === undefined) {
    throw new DaemonError(
      "unsupported",
      "This nix-daemon names realisations by hash, but only the path is known",
    );
  }
  return `${id.drvHash}!${id.outputName}`;
}

/** Writes the name of an output, as the protocol version has it. */
export function writeDrvOutput(writer: WireWriter, context: WireContext, id: DrvOutputId): void {
  if (!context.realisationWithPath) {
    writer.text(hashId(id));
    return;
  }
  if (id.drvPath === undefined) {
    throw new DaemonError(
      "unsupported",
      "This nix-daemon names realisations by path, but only the hash is known",
    );
  }
  writer.text(printStorePath(context.storeDir, id.drvPath)).text(id.outputName);
}

/** Writes where an output is, as the protocol version has it. */
export function writeRealisation(
  writer: WireWriter,
  context: WireContext,
  id: DrvOutputId,
  realisation: Realisation,
): void {
  if (context.realisationWithPath) {
    writeDrvOutput(writer, context, id);
    writer.text(printStorePath(context.storeDir, realisation.outPath));
    writer.list(realisation.signatures, (signature) => writer.text(signature));
    return;
  }
  writer.text(
    JSON.stringify({
      dependentRealisations: {},
      id: hashId(id),
      outPath: realisation.outPath,
      signatures: realisation.signatures,
    }),
  );
}

/** The answer to QueryRealisation: at most one. */
export async function readRealisation(
  reader: WireReader,
  context: WireContext,
): Promise<Realisation | undefined> {
  if (context.realisationWithPath) {
    return (await reader.bool()) ? readUnkeyedRealisation(reader, context) : undefined;
  }
  const [first] = await reader.list(() => reader.text());
  return first === undefined ? undefined : parseRealisation(first, context);
}
