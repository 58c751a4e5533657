/**
 * The runner under many small steps: 64 simulated builders with 4 jobs each build 2,000 independent derivations that take no
 * time; each sends its output and a report, as a real one does. Real runner, store and database; no binary caches.
 */
import { randomUUID } from "node:crypto";
import { derivationOutputPath, dumpTree, type StoreDir } from "../lib/nix/index.js";
import { connectRunner, packNars } from "../lib/rpc/index.js";
import type { BuildOrder } from "../lib/rpc/types.js";
import type { Pair } from "../test/support/pair.js";
import { pathInfo } from "../test/support/path-info.js";
import { atLeast, atMost, type Benchmark } from "./benchmark.js";
import { trivialExpressions, withFarm } from "./farm.js";
import { cpuMs, residentMegabytes } from "./processes.js";

/** Steps before the clock starts, for caches and the just-in-time compiler. */
const warmUp = 400;

/** As often as real builders. */
const pingMs = 10_000;

/** Joins, pings, and answers each order at once. */
class SimulatedBuilder implements AsyncDisposable {
  readonly #client: ReturnType<typeof connectRunner>;
  readonly #storeDir: StoreDir;
  readonly #machineId = randomUUID();
  #work: Promise<unknown> = Promise.resolve();
  #pings: NodeJS.Timeout | undefined;

  private constructor(endpoint: string, storeDir: StoreDir) {
    this.#client = connectRunner({ endpoint });
    this.#storeDir = storeDir;
  }

  static async join(pair: Pair, index: number, maxJobs: number): Promise<SimulatedBuilder> {
    const builder = new SimulatedBuilder(pair.gatewayUrl, pair.store.storeDir as StoreDir);
    const tunnel = await builder.#client.openTunnel({
      machineId: builder.#machineId,
      systems: ["x86_64-linux", "aarch64-linux"],
      hostname: `simulated-${index}`,
      cpuCount: maxJobs,
      bogomips: 4_000,
      speedFactor: 1,
      maxJobs,
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
      nixVersion: "simulated",
    });
    const ping = (): void =>
      tunnel.sendPing({
        machineId: builder.#machineId,
        load1: 0,
        load5: 0,
        load15: 0,
        memUsage: 0,
        pressure: undefined,
        buildDirFreePercent: 100,
        storeFreePercent: 100,
        currentSubstitutingPathCount: 0,
        currentUploadingPathCount: 0,
        currentDownloadingPathCount: 0,
      });
    ping();
    builder.#pings = setInterval(ping, pingMs);
    builder.#work = (async () => {
      const building: Promise<void>[] = [];
      for await (const order of tunnel.orders) {
        if (order.kind === "build") building.push(builder.#build(order.build));
      }
      await Promise.all(building);
    })();
    builder.#work.catch(() => undefined);
    return builder;
  }

  async #build({ buildId, drv, derivation }: BuildOrder): Promise<void> {
    const path = derivation && derivationOutputPath(this.#storeDir, derivation, "out");
    if (path === undefined) throw new Error(`${drv} has no output that is known before`);
    const nar = Buffer.concat([...dumpTree({ kind: "regular", contents: Buffer.from(`${drv}\n`) })]);
    const info = pathInfo(path, nar, { deriver: drv });
    await this.#client.buildResult(packNars([info], () => pieces(nar)));
    const { narHash, narSize } = info;
    await this.#client.completeBuild({
      buildId,
      machineId: this.#machineId,
      state: "success",
      importMs: 0,
      buildMs: 1,
      uploadMs: 0,
      outputs: new Map([["out", { path, narSize, closureSize: narSize, narHash, nixSupport: undefined }]]),
      error: undefined,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#pings);
    await this.#client.close();
    await this.#work.catch(() => undefined);
  }
}

async function* pieces(nar: Uint8Array): AsyncGenerator<Uint8Array> {
  yield nar;
}

async function instantiate(pair: Pair, count: number, salt: string): Promise<string[]> {
  const expressions = trivialExpressions(count, salt);
  const drvs: string[] = [];
  // A command line has only so much room.
  for (let at = 0; at < count; at += 400) {
    drvs.push(...(await pair.instantiate(...expressions.slice(at, at + 400))));
  }
  return drvs;
}

async function buildAll(pair: Pair, drvs: readonly string[]): Promise<void> {
  const ids = await pair.tables.addBuilds(drvs.map((drv) => ({ drv, jobsetId: pair.jobsetId })));
  await pair.tables.waitFinished(ids, 300_000);
}

export const run: Benchmark = async ([steps = "2000", builders = "64", jobs = "4"]) =>
  withFarm({ builders: [], runner: { remoteStoreAddr: [] } }, async (pair) => {
    const fleet = await Promise.all(
      Array.from({ length: Number(builders) }, (_, index) =>
        SimulatedBuilder.join(pair, index, Number(jobs)),
      ),
    );
    try {
      await pair.waitForBuilders(Number(builders));
      await buildAll(pair, await instantiate(pair, warmUp, "warm"));
      const drvs = await instantiate(pair, Number(steps), "steps");
      const { pid } = pair.runner;
      const cpuBefore = cpuMs(pid);
      const started = performance.now();
      await buildAll(pair, drvs);
      const seconds = (performance.now() - started) / 1000;
      return [
        {
          figure: `${steps} steps on ${builders} builders × ${jobs} jobs`,
          value: Number(steps) / seconds,
          unit: "steps/s",
          goal: atLeast(450),
        },
        {
          figure: "CPU of the runner per step",
          value: (cpuMs(pid) - cpuBefore) / Number(steps),
          unit: "ms",
          goal: atMost(1.5),
        },
        { figure: "memory of the runner", value: residentMegabytes(pid), unit: "MB", goal: atMost(200) },
      ];
    } finally {
      await Promise.all(fleet.map((builder) => builder[Symbol.asyncDispose]()));
    }
  });
