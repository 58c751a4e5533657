/** Output paths of input-addressed derivations: the hash of a derivation "modulo" how its fixed inputs are fetched. */

import { aFlag, aFunction, aText, checkArgument } from "../../argument-checks.js";
import { aHash, checkBasicDerivation, checkDerivation } from "../argument-rules.js";
import { NixFormatError } from "../errors.js";
import { type ByteString, byteStringFromText, byteStringToBytes } from "../path/byte-string.js";
import { makeStorePath, outputPathName } from "../path/content-address.js";
import { type Hash, hashBytes, printHash } from "../path/hash.js";
import { printStorePath, type StoreDir, type StorePath } from "../path/store-path.js";
import {
  type BasicDerivation,
  type Derivation,
  type DerivationOutput,
  type DerivedInput,
  derivationOutputPath,
  isImpure,
} from "./derivation.js";
import { outputFields, printDerivation } from "./printer.js";

/** What stands for a derivation in the hash of those that depend on it. */
export type DerivationModulo =
  /** One hash for the whole derivation. */
  | { readonly kind: "regular"; readonly hash: Hash }
  /** A fixed-output derivation: one hash for each output, of its contents. */
  | { readonly kind: "fixed"; readonly hashes: ReadonlyMap<string, Hash> }
  /** Some input's outputs are not known before it is built. */
  | { readonly kind: "deferred"; readonly hash: Hash };

/**
 * @param inputModulo the answers for the input derivations; called for each of them
 * @param maskOutputs true for the hash that output paths are made of, false for the one that dependents use
 */
export function hashDerivationModulo(
  dir: StoreDir,
  drv: Derivation,
  inputModulo: (path: StorePath) => DerivationModulo,
  maskOutputs: boolean,
): DerivationModulo {
  checkArgument("hashDerivationModulo", "dir", dir, aText);
  checkDerivation("hashDerivationModulo", "drv", drv);
  checkArgument("hashDerivationModulo", "inputModulo", inputModulo, aFunction);
  checkArgument("hashDerivationModulo", "maskOutputs", maskOutputs, aFlag);
  const outputs = [...drv.outputs.values()];
  if (outputs.every(hasPromisedContents)) {
    const hashes = new Map<string, Hash>();
    for (const [name, output] of drv.outputs) {
      const path = derivationOutputPath(dir, drv, name);
      const printed = path === undefined ? "" : printStorePath(dir, path);
      const [, method, promised] = outputFields(output, printed);
      const text = `fixed:out:${method}:${promised}:${printed}`;
      hashes.set(name, hashBytes("sha256", Buffer.from(text, "latin1")));
    }
    return { kind: "fixed", hashes };
  }
  // Nix gives all impure derivations the same hash: nothing may be made of it.
  if (isImpure(drv)) return { kind: "deferred", hash: hashBytes("sha256", Buffer.from("impure")) };
  let deferred = outputs.some((output) => output.kind === "caFloating" || output.kind === "foreign");
  const inputs = new Map<string, DerivedInput>();
  const addInput = (key: string, outputs: readonly string[]): void => {
    const merged = new Set([...(inputs.get(key)?.outputs ?? []), ...outputs]);
    inputs.set(key, { outputs: [...merged], dynamic: new Map() });
  };
  for (const [path, input] of drv.inputDerivations) {
    // A derivation that is still to be made cannot be hashed.
    if (input.dynamic.size > 0) deferred = true;
    const modulo = inputModulo(path);
    if (modulo.kind === "fixed") {
      for (const output of input.outputs) {
        const hash = modulo.hashes.get(output);
        if (hash === undefined) throw new NixFormatError("derivation", `${path} has no output '${output}'`);
        addInput(printHash(hash, "base16", false), [output]);
      }
    } else {
      if (modulo.kind === "deferred") deferred = true;
      addInput(printHash(modulo.hash, "base16", false), input.outputs);
    }
  }
  const text = printDerivation(dir, drv, { maskOutputs, inputs });
  const hash = hashBytes("sha256", byteStringToBytes(text));
  return { kind: deferred ? "deferred" : "regular", hash };
}

/** Whether the derivation promises the output's contents, so that it stands for them however it is made. */
function hasPromisedContents(output: DerivationOutput): boolean {
  return output.kind === "caFixed" || (output.kind === "foreign" && output.path !== undefined);
}

/** Path of one output from the masked hash of its derivation. */
export function makeOutputPath(dir: StoreDir, modulo: Hash, drvName: string, output: string): StorePath {
  checkArgument("makeOutputPath", "dir", dir, aText);
  checkArgument("makeOutputPath", "modulo", modulo, aHash);
  checkArgument("makeOutputPath", "drvName", drvName, aText);
  checkArgument("makeOutputPath", "output", output, aText);
  return makeStorePath(dir, `output:${output}`, modulo, outputPathName(drvName, output));
}

/**
 * Gives a resolved derivation's deferred outputs the paths they have now that all inputs are known, in the outputs
 * and in the environment. Without deferred outputs the derivation is returned as it is.
 */
export function fillDeferredOutputs(dir: StoreDir, basic: BasicDerivation): BasicDerivation {
  checkArgument("fillDeferredOutputs", "dir", dir, aText);
  checkBasicDerivation("fillDeferredOutputs", "basic", basic);
  const names = [...basic.outputs].filter(([, output]) => output.kind === "deferred").map(([name]) => name);
  if (names.length === 0) return basic;
  const text = printDerivation(dir, { ...basic, inputDerivations: new Map() }, { maskOutputs: true });
  const modulo = hashBytes("sha256", byteStringToBytes(text));
  const outputs = new Map<string, DerivationOutput>(basic.outputs);
  const env = new Map<ByteString, ByteString>(basic.env);
  for (const name of names) {
    const path = makeOutputPath(dir, modulo, basic.name, name);
    outputs.set(name, { kind: "inputAddressed", path });
    env.set(byteStringFromText(name), byteStringFromText(printStorePath(dir, path)));
  }
  return { ...basic, outputs, env };
}
