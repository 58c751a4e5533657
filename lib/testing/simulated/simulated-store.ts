/** A Nix store in memory: which paths are valid, and the derivations. */
import {
  bytesToByteString,
  DaemonError,
  type Derivation,
  type Hash,
  hashBytes,
  hashesEqual,
  parseDerivation,
  type StorePath,
  type ValidPathInfo,
} from "../../nix/index.js";
import type { RawStore } from "../../runner/state/runner-store.js";
import type { ProcessLife } from "./process-life.js";
import type { SeededRandom } from "./seeded-random.js";
import { pathOf, storeDir } from "./store-paths.js";
import type { WorldTime } from "./virtual-time.js";

/** What is wrong with the store. */
export interface StoreFaults {
  /** The daemon does not answer. */
  readonly down: boolean;
  /** Chance that an answer takes seconds. */
  readonly slow: number;
  /** One question that is not answered; for scenarios that need a fault at one point. */
  readonly refuses?: keyof RawStore;
}

/** All is well. */
export const noStoreFaults: StoreFaults = { down: false, slow: 0 };

/** An output with its contents. */
export interface StoredOutput {
  readonly nar: Uint8Array;
  readonly info: ValidPathInfo;
}

/** Paths with their contents, and derivations. */
export class SimulatedStore {
  readonly derivations = new Map<StorePath, Derivation>();
  readonly outputs = new Map<StorePath, StoredOutput>();
  readonly #time: WorldTime;
  readonly #random: SeededRandom;
  faults: StoreFaults = noStoreFaults;

  readonly #onReplaced: (before: StoredOutput) => void;

  /** `onReplaced`: an output got other contents than it had. */
  constructor(time: WorldTime, random: SeededRandom, onReplaced: (before: StoredOutput) => void = () => {}) {
    this.#time = time;
    this.#random = random;
    this.#onReplaced = onReplaced;
  }

  /** The hash of what is there. */
  hashOf(path: StorePath): Hash | undefined {
    return this.outputs.get(path)?.info.narHash;
  }

  connect(life: ProcessLife): RawStore {
    const ask = <T>(question: keyof RawStore, answer: () => T): Promise<T> =>
      this.#ask(life, question, answer);
    const infos = (paths: readonly StorePath[]): Map<StorePath, ValidPathInfo> =>
      new Map(paths.filter((path) => this.#has(path)).map((path) => [path, this.#info(path)]));
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
      narFromPath: (path) => this.#nar(life, path),
      addToStoreNar: async (info, nar, options) => {
        const chunks: Uint8Array[] = [];
        for await (const chunk of nar) chunks.push(Buffer.from(chunk));
        await ask("addToStoreNar", () => this.#add(info, Buffer.concat(chunks), options?.repair === true));
      },
      addTextToStore: (name, contents) => ask("addTextToStore", () => this.#addDerivation(name, contents)),
      ensurePath: (path) =>
        ask("ensurePath", () => {
          if (!this.#has(path)) throw new Error(`no substitute for ${path}`);
        }),
      addPermRoot: () => ask("addPermRoot", () => undefined),
      deletePath: (path) => ask("deletePath", () => void this.outputs.delete(path)),
    };
  }

  #has(path: StorePath): boolean {
    return this.outputs.has(path) || this.derivations.has(path);
  }

  #info(path: StorePath): ValidPathInfo {
    return this.outputs.get(path)?.info ?? derivationInfo(path);
  }

  async *#nar(life: ProcessLife, path: StorePath): AsyncGenerator<Uint8Array> {
    yield await this.#ask(life, "narFromPath", () => {
      const found = this.outputs.get(path);
      if (found === undefined) throw new DaemonError("invalid-path", `${path} has no contents here`);
      return found.nar;
    });
  }

  /** As the daemon does it: the hash is checked, and what is valid stays as it is unless it is repaired. */
  #add(info: ValidPathInfo, nar: Uint8Array, repair: boolean): void {
    const before = this.outputs.get(info.path);
    if (before !== undefined && !repair) return;
    if (!hashesEqual(hashBytes("sha256", nar), info.narHash)) {
      throw new DaemonError("remote", `hash mismatch importing path '${info.path}'`);
    }
    const { ca } = info;
    if (ca !== undefined && (ca.method !== "nixArchive" || !hashesEqual(ca.hash, info.narHash))) {
      throw new DaemonError("remote", `ca hash mismatch importing path '${info.path}'`);
    }
    this.outputs.set(info.path, { nar, info: { ...info, narSize: nar.length } });
    if (before !== undefined && !hashesEqual(before.info.narHash, info.narHash)) this.#onReplaced(before);
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

function derivationInfo(path: StorePath): ValidPathInfo {
  return {
    path,
    deriver: undefined,
    narHash: hashBytes("sha256", Buffer.from(path)),
    references: [],
    registrationTime: 0,
    narSize: 1000,
    ultimate: true,
    signatures: [],
    ca: undefined,
  };
}
