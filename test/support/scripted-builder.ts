// A builder without a Nix of its own: the test says what each build makes. For derivations that the Nix of the tests
// is too old to build.
import { randomUUID } from "node:crypto";
import type { DaemonStore } from "../../lib/nix/daemon/daemon-store.js";
import { openStore } from "../../lib/nix/daemon/open-store.js";
import type { StorePath } from "../../lib/nix/index.js";
import { connectRunner } from "../../lib/rpc/client/index.js";
import type { BuiltOutput } from "../../lib/rpc/index.js";
import type { TestNixStore } from "./nix.js";

export interface ScriptedBuilderOptions {
  /** Where builders connect. */
  readonly endpoint: string;
  /** The runner's own store: outputs are put there directly. */
  readonly store: TestNixStore;
  /** Text of the only output `out`; it gets the name of the derivation. Undefined: the build fails. */
  readonly make: (drv: StorePath) => string | undefined | Promise<string | undefined>;
  /** What it says instead of the truth about an output that it was told to make; nothing is put anywhere then. */
  readonly claim?: (drv: StorePath) => BuiltOutput;
}

/** Joins, and carries out orders until it is disposed of. */
export class ScriptedBuilder implements AsyncDisposable {
  /** Derivations in the order in which they were asked for. */
  readonly orders: StorePath[] = [];
  readonly #options: ScriptedBuilderOptions;
  readonly #client: ReturnType<typeof connectRunner>;
  readonly #machineId = randomUUID();
  readonly #store: Promise<DaemonStore>;
  #work: Promise<void> = Promise.resolve();

  private constructor(options: ScriptedBuilderOptions) {
    this.#options = options;
    this.#store = openStore(options.store.remote, { env: options.store.env });
    this.#client = connectRunner({ endpoint: options.endpoint });
  }

  static async join(options: ScriptedBuilderOptions): Promise<ScriptedBuilder> {
    const builder = new ScriptedBuilder(options);
    const tunnel = await builder.#client.openTunnel({
      machineId: builder.#machineId,
      systems: ["x86_64-linux"],
      hostname: "scripted",
      cpuCount: 1,
      bogomips: 1,
      speedFactor: 1,
      maxJobs: 1,
      buildDirAvailThreshold: 0,
      storeAvailThreshold: 0,
      load1Threshold: 100,
      cpuPsiThreshold: 100,
      memPsiThreshold: 100,
      ioPsiThreshold: undefined,
      totalMem: 1,
      supportedFeatures: [],
      mandatoryFeatures: [],
      cgroups: false,
      substituters: [],
      useSubstitutes: false,
      nixVersion: "scripted",
    });
    builder.#work = (async () => {
      for await (const order of tunnel.orders) {
        if (order.kind === "build") await builder.#build(order.build.buildId, order.build.drv);
      }
    })();
    builder.#work.catch(() => undefined);
    return builder;
  }

  async #build(buildId: string, drv: StorePath): Promise<void> {
    this.orders.push(drv);
    const text = await this.#options.make(drv);
    await this.#client.completeBuild({
      buildId,
      machineId: this.#machineId,
      state: text === undefined ? "buildFailure" : "success",
      importMs: 0,
      buildMs: 1,
      uploadMs: 0,
      outputs: text === undefined ? new Map() : new Map([["out", await this.#output(drv, text)]]),
      error: undefined,
    });
  }

  async #output(drv: StorePath, text: string): Promise<BuiltOutput> {
    const claimed = this.#options.claim?.(drv);
    if (claimed !== undefined) return claimed;
    const store = await this.#store;
    const name = drv.slice(33).replace(/\.drv$/, "");
    const path = await store.addTextToStore(name, Buffer.from(text), []);
    const info = await store.queryPathInfo(path);
    if (info === undefined) throw new Error(`${path} is not in the store`);
    const { narSize, narHash } = info;
    return { path, narSize, closureSize: narSize, narHash, nixSupport: undefined };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client.close();
    await this.#work.catch(() => undefined);
    await (await this.#store).close();
  }
}
