/** The machine that this builder runs on, as a runner gets to know it: by a join, then by pings. */
import { hostname, tmpdir } from "node:os";
import type { Logger } from "../../log.js";
import type { BuilderJoin, BuilderPing } from "../../rpc/types.js";
import type { BuilderCounters } from "../counters.js";
import type { GuardedHooks } from "../hooks.js";
import { requireTrust } from "../machine/daemon-trust.js";
import { readNixConfiguration } from "../machine/nix-configuration.js";
import { StoreWatch } from "../machine/store-watch.js";
import { readMachineFacts, sampleSystem } from "../machine/system-sampling.js";
import type { BuilderClientOptions, BuilderSettings } from "../options.js";
import { joinMessage, type MachineDescription, pingMessage } from "./join-info.js";

/** What a machine is described and sampled with. */
export interface ThisMachineOptions
  extends Pick<BuilderClientOptions, "store" | "hostname" | "nixConfiguration" | "defaultBuildDir" | "env"> {
  /** Read at each join: a reload changes them. */
  readonly settings: () => BuilderSettings;
  readonly hooks: GuardedHooks;
  /** As they are at each ping. */
  readonly counters: BuilderCounters;
  readonly logger: Logger;
}

/** What it reports about itself, and how busy it is. */
export class ThisMachine {
  readonly #description: Omit<MachineDescription, "settings">;
  readonly #store: BuilderClientOptions["store"];
  readonly #hooks: GuardedHooks;
  readonly #counters: BuilderCounters;
  readonly #buildDir: string;
  readonly #settings: () => BuilderSettings;
  readonly #watch: StoreWatch;

  private constructor(options: ThisMachineOptions, description: Omit<MachineDescription, "settings">) {
    this.#settings = options.settings;
    this.#description = description;
    this.#store = options.store;
    this.#hooks = options.hooks;
    this.#counters = options.counters;
    this.#watch = new StoreWatch({ store: options.store, logger: options.logger });
    this.#buildDir = description.nix.buildDir ?? options.defaultBuildDir ?? tmpdir();
  }

  /**
   * Finds out what there is to say.
   *
   * @throws BuilderError when the daemon does not trust us, or `nix` cannot be asked
   */
  static async describe(options: ThisMachineOptions, signal: AbortSignal): Promise<ThisMachine> {
    const { store, env, nixConfiguration } = options;
    await requireTrust(store, signal);
    const [nix, facts] = await Promise.all([
      nixConfiguration ?? readNixConfiguration({ env, signal }),
      readMachineFacts(),
    ]);
    return new ThisMachine(options, { hostname: options.hostname ?? hostname(), nix, facts });
  }

  get hostname(): string {
    return this.#description.hostname;
  }

  /** Watches what pings tell, until `signal` aborts. Never rejects. */
  watch(signal: AbortSignal): Promise<void> {
    return this.#watch.run(signal);
  }

  /** Calls `listener` when a ping has something new to tell, until the returned value is disposed of. */
  onNews(listener: () => void): Disposable {
    return this.#watch.subscribe(listener);
  }

  /** What it reports when it joins, under that id. */
  join(machineId: string): BuilderJoin {
    return joinMessage(machineId, { ...this.#description, settings: this.#settings() });
  }

  /** How busy it is. `full`: it wants no more work. */
  async ping(machineId: string, full: boolean): Promise<BuilderPing> {
    const sample =
      (await this.#hooks.sample()) ??
      (await sampleSystem({ buildDir: this.#buildDir, storeDir: this.#store.realStoreDir }));
    // The contract has no word for "no more work, please"; a machine without any disk space gets none.
    const space = full ? { buildDirFreePercent: 0, storeFreePercent: 0 } : {};
    const { trouble } = this.#watch;
    return {
      ...pingMessage(machineId, { ...sample, ...space }, this.#counters),
      ...(trouble === undefined ? {} : { storeTrouble: trouble }),
    };
  }
}
