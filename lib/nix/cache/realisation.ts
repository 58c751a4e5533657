/**
 * Realisations: signed statements that an output of a content-addressed derivation is at a certain store path.
 *
 * Two layouts in binary caches: `realisations/<drv>^<output>.doi` with key and value (what queue-runners write) and
 * `build-trace-v2/<drv>/<output>.doi` with the value alone (what Nix 2.35 and newer read).
 */

import { aText, checkMembers, someTexts } from "../../argument-checks.js";
import { checkRealisationKey } from "../argument-rules.js";
import { NixFormatError } from "../errors.js";
import { parseStorePath, type StorePath, storePathNameFault } from "../path/store-path.js";

/** An output of a derivation. */
export interface RealisationKey {
  readonly drvPath: StorePath;
  readonly outputName: string;
}

/** Where an output is, and who vouches for it. */
export interface RealisationValue {
  readonly outPath: StorePath;
  /** `<key name>:<base64>` */
  readonly signatures: readonly string[];
}

/** A realisation with the output it is about. */
export interface KeyedRealisation extends RealisationKey, RealisationValue {}

/** The text that signatures of a realisation cover: the JSON without them. */
export function realisationFingerprint(
  realisation: RealisationKey & Pick<RealisationValue, "outPath">,
): string {
  checkMembers("realisationFingerprint", realisation, { drvPath: aText, outputName: aText, outPath: aText });
  const { drvPath, outputName, outPath } = realisation;
  return JSON.stringify({ key: { drvPath, outputName }, value: { outPath } });
}

/** Object name in a binary cache, layout of the queue-runner. */
export function realisationObject(key: RealisationKey): string {
  checkRealisationKey("realisationObject", key);
  return `realisations/${key.drvPath}^${key.outputName}.doi`;
}

/** Object name in a binary cache, layout of Nix 2.35 and newer. */
export function buildTraceObject(key: RealisationKey): string {
  checkRealisationKey("buildTraceObject", key);
  return `build-trace-v2/${key.drvPath}/${key.outputName}.doi`;
}

function valueToJson(value: RealisationValue): unknown {
  const signatures = [...value.signatures].sort().map((text) => {
    const colon = text.indexOf(":");
    return { keyName: text.slice(0, colon), sig: text.slice(colon + 1) };
  });
  return { outPath: value.outPath, signatures };
}

/** Body of `realisations/…`. */
export function printRealisation(realisation: KeyedRealisation): string {
  checkRealisationKey("printRealisation", realisation);
  checkMembers("printRealisation", realisation, { outPath: aText, signatures: someTexts });
  const { drvPath, outputName } = realisation;
  return JSON.stringify({ key: { drvPath, outputName }, value: valueToJson(realisation) });
}

/** Body of `build-trace-v2/…`. */
export function printBuildTrace(value: RealisationValue): string {
  checkMembers("printBuildTrace", value, { outPath: aText, signatures: someTexts });
  return JSON.stringify(valueToJson(value));
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function fault(what: string, cause?: unknown): NixFormatError {
  return new NixFormatError("realisation", `realisation: ${what}`, { cause });
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw fault("not JSON", cause);
  }
}

function readPath(value: unknown, what: string): StorePath {
  if (typeof value !== "string") throw fault(`${what} is missing`);
  try {
    return parseStorePath(value);
  } catch (cause) {
    throw fault(`${what} is not a store path: '${value.slice(0, 260)}'`, cause);
  }
}

/** Signatures are objects, or texts as in narinfos. */
function readSignature(value: unknown): string {
  if (typeof value === "string" && /^[^:\s]+:./.test(value)) return value;
  if (isObject(value)) {
    const { keyName, sig } = value;
    if (typeof keyName === "string" && typeof sig === "string" && keyName !== "" && !/[:\s]/.test(keyName)) {
      return `${keyName}:${sig}`;
    }
  }
  throw fault("a signature is neither '<name>:<base64>' nor an object with keyName and sig");
}

function readValue(value: unknown): RealisationValue {
  if (!isObject(value)) throw fault("the value is not an object");
  const signatures = value.signatures ?? [];
  if (!Array.isArray(signatures)) throw fault("signatures are not a list");
  return {
    outPath: readPath(value.outPath, "outPath"),
    signatures: signatures.map((signature: unknown) => readSignature(signature)),
  };
}

/** Reads the body of `realisations/…`. @throws NixFormatError */
export function parseRealisation(text: string): KeyedRealisation {
  const json = readJson(text);
  if (!isObject(json) || !isObject(json.key)) throw fault("the key is missing");
  const key = json.key;
  const outputName = key.outputName;
  if (typeof outputName !== "string" || storePathNameFault(outputName) !== undefined) {
    throw fault("outputName is missing or no name");
  }
  return { drvPath: readPath(key.drvPath, "drvPath"), outputName, ...readValue(json.value) };
}

/** Reads the body of `build-trace-v2/…`. @throws NixFormatError */
export function parseBuildTrace(text: string): RealisationValue {
  return readValue(readJson(text));
}
