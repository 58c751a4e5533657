/** The runner's store without the paths that no report has proven yet: for everybody else they are not valid. */
import { DaemonError } from "../../nix/daemon/error.js";
import type { Derivation } from "../../nix/derivation/derivation.js";
import type { StorePath } from "../../nix/path/store-path.js";
import type { ValidPathInfo } from "../../nix/store/path-info.js";
import type { ByteStream, CancelOptions, StoreSettings } from "../../nix/store/store.js";
import type { RawStore, RunnerStore } from "./runner-store.js";
import type { UnprovenPaths } from "./unproven-paths.js";

/** Hides unproven paths. What becomes unproven while a question is under way is hidden, too. */
export class ProvenStore implements RunnerStore {
  readonly onlyProven = true;
  readonly #raw: RawStore;
  readonly #unproven: Pick<UnprovenPaths, "has" | "forget">;

  constructor(raw: RawStore, unproven: Pick<UnprovenPaths, "has" | "forget">) {
    this.#raw = raw;
    this.#unproven = unproven;
  }

  get storeDir(): RawStore["storeDir"] {
    return this.#raw.storeDir;
  }

  get realStoreDir(): string {
    return this.#raw.realStoreDir;
  }

  async isValidPath(path: StorePath, options?: CancelOptions): Promise<boolean> {
    if (this.#unproven.has(path)) return false;
    return (await this.#raw.isValidPath(path, options)) && !this.#unproven.has(path);
  }

  async queryValidPaths(
    paths: readonly StorePath[],
    options?: CancelOptions & { readonly substitute?: boolean },
  ): Promise<Set<StorePath>> {
    const valid = await this.#raw.queryValidPaths(this.#proven(paths), options);
    for (const path of valid) if (this.#unproven.has(path)) valid.delete(path);
    return valid;
  }

  async queryPathInfos(
    paths: readonly StorePath[],
    options?: CancelOptions,
  ): Promise<Map<StorePath, ValidPathInfo>> {
    const infos = await this.#raw.queryPathInfos(this.#proven(paths), options);
    for (const path of infos.keys()) if (this.#unproven.has(path)) infos.delete(path);
    return infos;
  }

  async closure(
    roots: readonly (StorePath | ValidPathInfo)[],
    options?: CancelOptions,
  ): Promise<ValidPathInfo[]> {
    const proven = roots.filter((root) => !this.#unproven.has(typeof root === "string" ? root : root.path));
    const infos = await this.#raw.closure(proven, options);
    return infos.filter((info) => !this.#unproven.has(info.path));
  }

  narFromPath(path: StorePath, options?: CancelOptions): ByteStream {
    this.#demandProven(path);
    return this.#raw.narFromPath(path, options);
  }

  async readDerivation(path: StorePath, options?: CancelOptions): Promise<Derivation> {
    this.#demandProven(path);
    return this.#raw.readDerivation(path, options);
  }

  async ensurePath(path: StorePath, options?: CancelOptions & StoreSettings): Promise<void> {
    this.#demandProven(path);
    await this.#raw.ensurePath(path, options);
  }

  /** Text of our own needs no proof. */
  async addTextToStore(
    name: string,
    contents: Uint8Array,
    references: readonly StorePath[],
    options?: CancelOptions & { readonly repair?: boolean },
  ): Promise<StorePath> {
    const path = await this.#raw.addTextToStore(name, contents, references, options);
    this.#unproven.forget([path]);
    return path;
  }

  addPermRoot(path: StorePath, link: string, options?: CancelOptions): Promise<void> {
    return this.#raw.addPermRoot(path, link, options);
  }

  #proven(paths: readonly StorePath[]): readonly StorePath[] {
    return paths.some((path) => this.#unproven.has(path))
      ? paths.filter((path) => !this.#unproven.has(path))
      : paths;
  }

  /** @throws DaemonError `invalid-path` */
  #demandProven(path: StorePath): void {
    if (!this.#unproven.has(path)) return;
    throw new DaemonError("invalid-path", `no builder that was to make ${path} has reported it as built`);
  }
}
