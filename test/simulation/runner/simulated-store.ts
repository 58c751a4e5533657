/** A Nix store in memory: which paths are valid, and the derivations. */
import {
  bytesToByteString,
  DaemonError,
  type Derivation,
  defaultStoreDir,
  hashBytes,
  parseDerivation,
  printHash,
  type StorePath,
  type ValidPathInfo,
} from "../../../lib/nix/index.js";
import type { RawStore } from "../../../lib/runner/state/runner-store.js";
import type { SeededRandom } from "../random.js";
import type { ProcessLife } from "./process-life.js";
import type { VirtualTime } from "./virtual-time.js";

export const storeDir = defaultStoreDir;

const encoder = new TextEncoder();

/** A store path that follows from a text; no contents stand behind it. */
export function pathOf(seed: string, name: string): StorePath {
  const hash = printHash(hashBytes("sha256", encoder.encode(`${seed}:${name}`)), "nix32", false);
  return `${hash.slice(0, 32)}-${name}` as StorePath;
}

export interface StoreFaults {
  /** The daemon does not answer. */
  readonly down: boolean;
  /** Chance that an answer takes seconds. */
  readonly slow: number;
  /** One question that is not answered; for scenarios that need a fault at one point. */
  readonly refuses?: keyof RawStore;
}

export const noStoreFaults: StoreFaults = { down: false, slow: 0 };

export const narSize = 1000;

export class SimulatedStore {
  readonly derivations = new Map<StorePath, Derivation>();
  /** Outputs. */
  readonly valid = new Set<StorePath>();
  readonly #time: VirtualTime;
  readonly #random: SeededRandom;
  faults: StoreFaults = noStoreFaults;

  constructor(time: VirtualTime, random: SeededRandom) {
    this.#time = time;
    this.#random = random;
  }

  connect(life: ProcessLife): RawStore {
    const ask = <T>(question: keyof RawStore, answer: () => T): Promise<T> =>
      this.#ask(life, question, answer);
    const infos = (paths: readonly StorePath[]): Map<StorePath, ValidPathInfo> =>
      new Map(paths.filter((path) => this.#has(path)).map((path) => [path, info(path)]));
    return {
      storeDir,
      realStoreDir: storeDir,
      queryPathInfos: (paths) => ask("queryPathInfos", () => infos(paths)),
      queryValidPaths: (paths) =>
        ask("queryValidPaths", () => new Set(paths.filter((path) => this.#has(path)))),
      isValidPath: (path) => ask("isValidPath", () => this.#has(path)),
      closure: (roots) =>
        ask("closure", () => [
          ...infos(roots.map((root) => (typeof root === "string" ? root : root.path))).values(),
        ]),
      readDerivation: (path) =>
        ask("readDerivation", () => {
          const found = this.derivations.get(path);
          if (found === undefined) throw new DaemonError("invalid-path", `${path} is not valid`);
          return found;
        }),
      narFromPath: (path) => {
        throw new Error(`${path} has no contents here`);
      },
      addToStoreNar: (added) => ask("addToStoreNar", () => void this.valid.add(added.path)),
      addTextToStore: (name, contents) => ask("addTextToStore", () => this.#addDerivation(name, contents)),
      ensurePath: (path) =>
        ask("ensurePath", () => {
          if (!this.#has(path)) throw new Error(`no substitute for ${path}`);
        }),
      addPermRoot: () => ask("addPermRoot", () => undefined),
      deletePath: (path) => ask("deletePath", () => void this.valid.delete(path)),
    };
  }

  #has(path: StorePath): boolean {
    return this.valid.has(path) || this.derivations.has(path);
  }

  #addDerivation(name: string, contents: Uint8Array): StorePath {
    const text = bytesToByteString(contents);
    const path = pathOf(text, name);
    if (!this.derivations.has(path)) {
      this.derivations.set(path, parseDerivation(storeDir, name.slice(0, -".drv".length), text));
    }
    return path;
  }

  #ask<T>(life: ProcessLife, question: keyof RawStore, answer: () => T): Promise<T> {
    const latency = this.#random.chance(this.faults.slow) ? this.#random.int(100, 8_000) : 0;
    return new Promise((resolve, reject) => {
      this.#time.after(latency, () => {
        if (!life.alive) return;
        if (this.faults.down || this.faults.refuses === question)
          return reject(new DaemonError("connect", "simulated"));
        try {
          resolve(answer());
        } catch (error) {
          reject(error instanceof Error ? error : new Error(String(error)));
        }
      });
    });
  }
}

function info(path: StorePath): ValidPathInfo {
  return {
    path,
    deriver: undefined,
    narHash: narHashOf(path),
    references: [],
    registrationTime: 0,
    narSize,
    ultimate: true,
    signatures: [],
    ca: undefined,
  };
}

export function narHashOf(path: StorePath): ValidPathInfo["narHash"] {
  return hashBytes("sha256", encoder.encode(path));
}
