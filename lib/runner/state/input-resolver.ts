/**
 * Turns a derivation into what a builder can build: inputs that are derivations become the paths of their outputs.
 *
 * Most output paths are written in the input derivations themselves. Where only a build could tell (content-addressed
 * derivations), the path comes from results of this run, else from the database.
 */
import { BoundedMap } from "../../async/index.js";
import type { HydraDatabase } from "../../database/index.js";
import {
  type BasicDerivation,
  byteStringToBytes,
  fillDeferredOutputs,
  inputReferences,
  parseFullStorePath,
  printDerivation,
  printStorePath,
  resolveDerivation,
  type StorePath,
} from "../../nix/index.js";
import { RunnerError } from "../errors.js";
import type { DerivationCatalog, StepFacts } from "./derivation-catalog.js";
import type { RunnerStore } from "./runner-store.js";

/** What a derivation is built as. */
export type Resolution =
  | { readonly kind: "buildable"; readonly derivation: BasicDerivation }
  /** The derivation resolves to another one, which is in the store now. */
  | { readonly kind: "becomes"; readonly drv: StorePath };

/** Where output paths are looked up. */
export interface InputResolverOptions {
  readonly store: RunnerStore;
  readonly database: Pick<HydraDatabase, "resolveOutputChains">;
  readonly catalog: DerivationCatalog;
}

/** An output of a derivation, possibly through derivations that are outputs themselves: `root^a^b`. */
interface Chain {
  readonly root: StorePath;
  readonly outputs: readonly string[];
}

const chainKey = (root: StorePath, outputs: readonly string[]): string => `${root}^${outputs.join("^")}`;

/** Resolves inputs to store paths. */
export class InputResolver {
  readonly #store: RunnerStore;
  readonly #database: InputResolverOptions["database"];
  readonly #catalog: DerivationCatalog;
  /** Results of this run for outputs that only a build can tell. */
  readonly #built = new BoundedMap<string, StorePath>({ capacity: 100_000 });

  constructor(options: InputResolverOptions) {
    this.#store = options.store;
    this.#database = options.database;
    this.#catalog = options.catalog;
  }

  /** Remembers outputs that were just built (or found). */
  learn(drv: StorePath, outputs: ReadonlyMap<string, StorePath>): void {
    for (const [name, path] of outputs) this.#built.set(chainKey(drv, [name]), path);
  }

  /** @throws RunnerError `unresolved-input` when the path of some input is not known */
  async resolve(drv: StorePath, facts: StepFacts): Promise<Resolution> {
    const derivation = await this.#catalog.derivation(drv);
    const paths = await this.outputPaths(
      inputReferences(derivation).map(({ drv: root, outputs }) => ({ root, outputs })),
    );
    const resolved = resolveDerivation(this.#store.storeDir, derivation, (root, outputs) =>
      paths.get(chainKey(root, outputs)),
    );
    if (!resolved.ok) {
      throw new RunnerError(
        "unresolved-input",
        `inputs of ${drv} have no known output path: ${resolved.missing.map((m) => chainKey(m.drv, m.outputs)).join(", ")}`,
      );
    }
    if (!facts.needsResolution) return { kind: "buildable", derivation: resolved.basic };
    const filled = fillDeferredOutputs(this.#store.storeDir, resolved.basic);
    const text = printDerivation(this.#store.storeDir, { ...filled, inputDerivations: new Map() });
    const added = await this.#store.addTextToStore(
      `${filled.name}.drv`,
      byteStringToBytes(text),
      filled.inputSources,
    );
    return added === drv ? { kind: "buildable", derivation: filled } : { kind: "becomes", drv: added };
  }

  /** The paths of output chains, as far as they are known. Keys as made by `chainKey`. */
  async outputPaths(chains: readonly Chain[]): Promise<Map<string, StorePath>> {
    const found = new Map<string, StorePath>();
    const unknown: Chain[] = [];
    for (const chain of chains) {
      const path = await this.#knownPath(chain);
      if (path === undefined) unknown.push(chain);
      else found.set(chainKey(chain.root, chain.outputs), path);
    }
    if (unknown.length > 0) {
      const rows = await this.#database.resolveOutputChains(
        unknown.map((chain) => ({
          drvPath: printStorePath(this.#store.storeDir, chain.root),
          outputs: chain.outputs,
        })),
        this.#store.storeDir,
      );
      rows.forEach((text, index) => {
        const chain = unknown[index];
        if (chain === undefined || text === undefined) return;
        found.set(chainKey(chain.root, chain.outputs), parseFullStorePath(this.#store.storeDir, text));
      });
    }
    return found;
  }

  async #knownPath(chain: Chain): Promise<StorePath | undefined> {
    let current: StorePath = chain.root;
    for (const output of chain.outputs) {
      let next = this.#built.get(chainKey(current, [output]));
      if (next === undefined) {
        try {
          next = (await this.#catalog.facts(current)).outputs.get(output);
        } catch {
          return undefined;
        }
      }
      if (next === undefined) return undefined;
      current = next;
    }
    return current;
  }
}
