/** Derivations: what is to be built, from what, by what. */
import { checkDerivation } from "../argument-rules.js";
import { type ByteString, byteStringFromText, byteStringToText } from "../path/byte-string.js";
import {
  type ContentAddressMethodAlgorithm,
  type KnownContentAddress,
  makeFixedOutputPath,
  outputPathName,
} from "../path/content-address.js";
import type { StoreDir, StorePath } from "../path/store-path.js";

/** What is known of an output before it is built. */
export type DerivationOutput =
  /** The path follows from the derivation. */
  | { readonly kind: "inputAddressed"; readonly path: StorePath }
  /** The contents are promised; the path follows from them. */
  | { readonly kind: "caFixed"; readonly ca: KnownContentAddress }
  /** Input-addressed, but an input's path is not known yet. */
  | { readonly kind: "deferred" }
  /** The path follows from what the build produces. */
  | ({ readonly kind: "caFloating" } & ContentAddressMethodAlgorithm)
  /** As `caFloating`, but two builds may differ: Nix neither reuses nor registers what it built. */
  | ({ readonly kind: "impure" } & ContentAddressMethodAlgorithm)
  /** Fixed, floating or impure by a method or algorithm of a later Nix: carried as written, never computed with. */
  | {
      readonly kind: "foreign";
      /** Known only where the contents are promised. */
      readonly path: StorePath | undefined;
      /** Such as `new:sha9`. */
      readonly method: string;
      /** The promised hash, `impure`, or empty where only the build can tell. */
      readonly hash: string;
    };

/** Which outputs of an input derivation are used, and which of its outputs are derivations themselves. */
export interface DerivedInput {
  readonly outputs: readonly string[];
  /** Output that is a derivation → what of that derivation is used (dynamic derivations). */
  readonly dynamic: ReadonlyMap<string, DerivedInput>;
}

/** A derivation whose inputs are plain store paths: what a daemon builds. */
export interface BasicDerivation {
  /** Without `.drv`. */
  readonly name: string;
  readonly outputs: ReadonlyMap<string, DerivationOutput>;
  /** Sorted. */
  readonly inputSources: readonly StorePath[];
  readonly system: ByteString;
  readonly builder: ByteString;
  readonly args: readonly ByteString[];
  /** Structured attributes stay in here, as `__json`. */
  readonly env: ReadonlyMap<ByteString, ByteString>;
}

/** A derivation as its `.drv` file has it: inputs may be outputs of other derivations. */
export interface Derivation extends BasicDerivation {
  readonly inputDerivations: ReadonlyMap<StorePath, DerivedInput>;
}

/** The path of an output where it is known before the build, else undefined. */
export function derivationOutputPath(
  dir: StoreDir,
  derivation: BasicDerivation,
  output: string,
): StorePath | undefined {
  checkDerivation("derivationOutputPath", "derivation", derivation, ["name", "outputs"]);
  const found = derivation.outputs.get(output);
  if (found?.kind === "inputAddressed" || found?.kind === "foreign") return found.path;
  if (found?.kind !== "caFixed") return undefined;
  return makeFixedOutputPath(dir, outputPathName(derivation.name, output), found.ca);
}

/**
 * Whether the derivation is impure (`__impure`): each build may give something else. Nix builds it again for every
 * build that needs it, never answers it from an earlier one, and registers no realisation of it.
 */
export function isImpure(derivation: Pick<BasicDerivation, "outputs">): boolean {
  checkDerivation("isImpure", "derivation", derivation, ["outputs"]);
  for (const output of derivation.outputs.values()) {
    if (output.kind === "impure" || (output.kind === "foreign" && output.hash === "impure")) return true;
  }
  return false;
}

const jsonName = byteStringFromText("__json");
const preferLocalName = byteStringFromText("preferLocalBuild");

/** The decoded structured attributes, or undefined when there are none (or they are not a JSON object). */
export function structuredAttributes(
  derivation: BasicDerivation,
): Readonly<Record<string, unknown>> | undefined {
  checkDerivation("structuredAttributes", "derivation", derivation, ["env"]);
  const text = derivation.env.get(jsonName);
  if (text === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(byteStringToText(text));
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}

function attributeWords(derivation: BasicDerivation, name: string): string[] {
  const text = derivation.env.get(byteStringFromText(name));
  return text === undefined
    ? []
    : byteStringToText(text)
        .split(/\s+/)
        .filter((word) => word !== "");
}

/** Features a machine must support; order and duplicates as written. */
export function requiredSystemFeatures(derivation: BasicDerivation): string[] {
  checkDerivation("requiredSystemFeatures", "derivation", derivation, ["env"]);
  const attributes = structuredAttributes(derivation);
  if (attributes === undefined) return attributeWords(derivation, "requiredSystemFeatures");
  const { requiredSystemFeatures: value } = attributes;
  return Array.isArray(value) ? value.filter((item) => typeof item === "string") : [];
}

/** The author thinks that sending this one elsewhere costs more than building it. */
export function preferLocalBuild(derivation: BasicDerivation): boolean {
  checkDerivation("preferLocalBuild", "derivation", derivation, ["env"]);
  const attributes = structuredAttributes(derivation);
  if (attributes !== undefined) {
    const { preferLocalBuild: wanted } = attributes;
    return wanted === true;
  }
  return derivation.env.get(preferLocalName) === "1";
}
