/**
 * What the runner needs to know of derivations, read from the store once.
 *
 * Facts of a derivation never change (its name is the hash of its text), so they may be cached freely. Parsed
 * derivations are large: only the last that were read in small surveys are kept. In a short queue these are what
 * dispatch asks for, so that a derivation that was collected meanwhile is built all the same.
 */

import { BoundedMap } from "../../async/index.js";
import { DaemonError } from "../../nix/daemon/error.js";
import type { Derivation } from "../../nix/derivation/derivation.js";
import { isDerivationPath, type StorePath } from "../../nix/path/store-path.js";
import type { StepId } from "../../scheduler/ids.js";
import { RunnerError } from "../errors.js";
import { FactsReader } from "./facts-reader.js";
import type { RunnerStore } from "./runner-store.js";

/** One thing a derivation needs: a derivation, or an output of a derivation that is itself built. */
export interface InputReference {
  readonly drv: StorePath;
  /** Intermediate output names of a dynamic derivation; the last is the next one to resolve. Empty for most. */
  readonly chain: readonly string[];
}

/** What the runner knows of a derivation. */
export interface StepFacts {
  readonly drv: StorePath;
  /** Without hash and `.drv`. */
  readonly name: string;
  readonly system: string;
  readonly features: readonly string[];
  readonly preferLocal: boolean;
  /** Output name to path, in name order; undefined while only the build can tell. */
  readonly outputs: ReadonlyMap<string, StorePath | undefined>;
  readonly inputs: readonly InputReference[];
  /** Outputs depend on what inputs turn out to be: the derivation is resolved to another one before it is built. */
  readonly needsResolution: boolean;
  /** Two builds may differ: it is built each time, never answered from an earlier build, and no realisation is published. */
  readonly impure: boolean;
}

/** The derivation that a step of the scheduler builds; steps are named by it. */
export function drvOf(step: StepId): StorePath {
  const name: string = step;
  return name as StorePath;
}

/** The outputs whose paths are known. */
export function definedOutputs({ outputs }: Pick<StepFacts, "outputs">): Map<string, StorePath> {
  const defined = new Map<string, StorePath>();
  for (const [name, path] of outputs) if (path !== undefined) defined.set(name, path);
  return defined;
}

/** Reads derivations and remembers what was read. */
export class DerivationCatalog {
  readonly #store: RunnerStore;
  /** The last that were read; undefined for those that were not kept. */
  readonly #parsed: BoundedMap<StorePath, Promise<Derivation> | undefined>;
  readonly #facts: BoundedMap<StorePath, StepFacts>;
  readonly #reader: FactsReader;

  /** `capacity`: facts that are remembered; default 8192. */
  constructor(store: RunnerStore, options?: { readonly capacity?: number }) {
    this.#store = store;
    const capacity = options?.capacity ?? 8192;
    this.#parsed = new BoundedMap({ capacity: Math.ceil(capacity / 64) });
    // Those that many steps need stay.
    this.#facts = new BoundedMap({ capacity, evictBy: "use" });
    this.#reader = new FactsReader(store.storeDir);
  }

  /**
   * The parsed derivation. Concurrent calls for one path share the read; a failed read is not remembered.
   *
   * @throws RunnerError `unreadable-derivation`; other errors are trouble with the store, and a later try may work
   */
  derivation(drv: StorePath): Promise<Derivation> {
    const known = this.#parsed.get(drv);
    if (known !== undefined) return known;
    const reading = this.#read(drv);
    this.#parsed.set(drv, reading);
    reading.catch(() => this.#parsed.delete(drv));
    return reading;
  }

  #passing(drv: StorePath): Promise<Derivation> {
    const known = this.#parsed.get(drv);
    if (known !== undefined) return known;
    this.#parsed.set(drv, undefined);
    return this.#read(drv);
  }

  async #read(drv: StorePath): Promise<Derivation> {
    try {
      if (!isDerivationPath(drv)) throw new Error("the name must end in .drv");
      return await this.#store.readDerivation(drv);
    } catch (cause) {
      throw isOutage(cause) ? cause : unreadable(drv, cause);
    }
  }

  /**
   * `passing`: one of many that are read. Then the parsed derivation is not kept: what is kept for a while before it
   * becomes garbage costs the collector most.
   *
   * @throws as `derivation`
   */
  async facts(drv: StorePath, options?: { readonly passing?: boolean }): Promise<StepFacts> {
    const known = this.#facts.get(drv);
    if (known !== undefined) return known;
    const derivation = await (options?.passing === true ? this.#passing(drv) : this.derivation(drv));
    const facts = sensible(drv, () => this.#reader.facts(drv, derivation));
    this.#facts.set(drv, facts);
    return facts;
  }
}

function unreadable(drv: StorePath, cause: unknown): RunnerError {
  return new RunnerError("unreadable-derivation", `${drv} cannot be read as a derivation`, { cause });
}

function sensible<T>(drv: StorePath, look: () => T): T {
  try {
    return look();
  } catch (cause) {
    throw unreadable(drv, cause);
  }
}

/** The store was not reached, which says nothing about the derivation. */
function isOutage(error: unknown): boolean {
  return error instanceof DaemonError && ["connect", "closed", "aborted"].includes(error.code);
}
