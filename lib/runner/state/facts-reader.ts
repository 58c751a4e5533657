/**
 * Facts of parsed derivations, made to be kept: what many derivations have in common is there once, and no text of a
 * fact keeps the text of the whole derivation alive.
 */
import {
  type Derivation,
  type DerivedInput,
  derivationOutputPath,
  isImpure,
  preferLocalBuild,
  requiredSystemFeatures,
} from "../../nix/derivation/derivation.js";
import { byteStringToText } from "../../nix/path/byte-string.js";
import type { StoreDir, StorePath } from "../../nix/path/store-path.js";
import type { InputReference, StepFacts } from "./derivation-catalog.js";

/** Values of one kind that are shared. Not many more than `most` are known at a time. */
class Shared<V> {
  readonly #make: (key: string) => V;
  readonly #most: number;
  #recent = new Map<string, V>();
  #older = new Map<string, V>();

  constructor(most: number, make: (key: string) => V) {
    this.#most = most;
    this.#make = make;
  }

  of(key: string): V {
    const found = this.#recent.get(key);
    if (found !== undefined) return found;
    const value = this.#older.get(key);
    if (value !== undefined) {
      this.#keep(key, value);
      return value;
    }
    // A key cut out of a long text would keep that alive.
    const own = ownText(key);
    const made = this.#make(own);
    this.#keep(own, made);
    return made;
  }

  #keep(key: string, value: V): void {
    if (this.#recent.size >= this.#most / 2) {
      this.#older = this.#recent;
      this.#recent = new Map();
    }
    this.#recent.set(key, value);
  }
}

/** The same text, not as a part of another one. Latin-1 only. */
function ownText(text: string): string {
  return Buffer.from(text, "latin1").toString("latin1");
}

const noChain: InputReference["chain"] = [];
const noFeatures: readonly string[] = [];

/** Makes facts. */
export class FactsReader {
  readonly #storeDir: StoreDir;
  readonly #inputs = new Shared<InputReference>(16_384, (drv) => ({ drv: drv as StorePath, chain: noChain }));
  /** Names of outputs and systems. */
  readonly #words = new Shared<string>(512, (word) => word);
  readonly #features = new Shared<readonly string[]>(512, (words) => words.split(" "));

  constructor(storeDir: StoreDir) {
    this.#storeDir = storeDir;
  }

  /** @throws NixFormatError when the attributes make no sense */
  facts(drv: StorePath, derivation: Derivation): StepFacts {
    const outputs = new Map<string, StorePath | undefined>();
    let needsResolution = false;
    for (const name of [...derivation.outputs.keys()].sort()) {
      const path = derivationOutputPath(this.#storeDir, derivation, name);
      outputs.set(this.#words.of(name), path === undefined ? undefined : (ownText(path) as StorePath));
      const output = derivation.outputs.get(name);
      if (output?.kind === "caFloating" || output?.kind === "deferred" || output?.kind === "impure") {
        needsResolution = true;
      }
      if (output?.kind === "foreign" && output.path === undefined) needsResolution = true;
    }
    const features = requiredSystemFeatures(derivation);
    const system = byteStringToText(derivation.system);
    return {
      drv,
      name: derivation.name,
      system: isPlain(system) ? this.#words.of(system) : system,
      features: features.length === 0 ? noFeatures : this.#sharedFeatures(features),
      preferLocal: preferLocalBuild(derivation),
      outputs,
      inputs: this.#inputsOf(derivation),
      needsResolution,
      impure: isImpure(derivation),
    };
  }

  #sharedFeatures(features: readonly string[]): readonly string[] {
    return features.every((feature) => isPlain(feature) && feature !== "" && !feature.includes(" "))
      ? this.#features.of(features.join(" "))
      : features;
  }

  #inputsOf(derivation: Derivation): InputReference[] {
    const found: InputReference[] = [];
    for (const [drv, input] of derivation.inputDerivations) {
      const plain = this.#inputs.of(drv);
      if (input.dynamic.size > 0) flattenInput(plain.drv, input, found);
      else if (input.outputs.length > 0) found.push(plain);
    }
    return found;
  }
}

function isPlain(text: string): boolean {
  return /^[\x20-\x7e]*$/.test(text);
}

function flattenInput(drv: StorePath, input: DerivedInput, found: InputReference[]): void {
  const pending: { node: DerivedInput; chain: readonly string[] }[] = [{ node: input, chain: noChain }];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    if (next.node.outputs.length > 0) found.push({ drv, chain: next.chain });
    for (const [output, node] of next.node.dynamic) pending.push({ node, chain: [output, ...next.chain] });
  }
}
