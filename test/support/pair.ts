// A whole farm for tests: the compiled runner and builders as processes, each with a Nix store and daemon of its own.
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll } from "vitest";
import { type Child, startChild } from "./child.js";
import { freePort } from "./free-port.js";
import { HydraTables } from "./hydra-tables.js";
import { startNixStore, type TestNixStore } from "./nix.js";
import { NotificationRecorder } from "./notifications.js";
import { until } from "./until.js";

const run = promisify(execFile);
// Benchmarks use this file compiled, one folder deeper.
const root = fileURLToPath(
  new URL(import.meta.url.includes("/dist/test/") ? "../../.." : "../..", import.meta.url),
);

export const queueRunnerProgram = join(root, "dist/bin/queue-runner.js");
export const builderProgram = join(root, "dist/bin/hydra-builder.js");

/** Keys of a configuration file. */
export type Settings = Readonly<Record<string, SettingValue>>;

/** `{ toml }` is written as it stands. */
type SettingValue = string | number | boolean | readonly string[] | { readonly toml: string };

/** What stands between builders and the runner. */
export interface Gateway extends AsyncDisposable {
  /** What builders connect to. */
  readonly endpoint: string;
}

export interface PairBuilderOptions {
  /** Host name in the rows; default `builder-a`, `builder-b`, … */
  readonly name?: string;
  readonly settings?: Settings;
  readonly systemFeatures?: readonly string[];
  /** More lines for its nix.conf. */
  readonly nixConf?: string;
  /** One of the pair's gateways that it reaches the runner through. Default: directly. */
  readonly gateway?: string;
  /** More flags of the program. */
  readonly flags?: readonly string[];
}

export interface PairOptions {
  /** Folder to make its own in. Default: that of temporary files, which may be in memory. */
  readonly parent?: string;
  /** A fresh database with Hydra's schema. */
  readonly databaseUrl: string;
  /** Default: one. */
  readonly builders?: readonly PairBuilderOptions[];
  /** On top of (or instead of) the settings that the recordings were made with. */
  readonly runner?: Settings;
  readonly runnerFlags?: readonly string[];
  /** More lines for the nix.conf of the runner's store. */
  readonly nixConf?: string;
  /** Proxies by name, each started with the URL of the runner's gRPC port. */
  readonly gateways?: Readonly<Record<string, (runnerUrl: string) => Promise<Gateway>>>;
  /** The runner's flags make it speak TLS. */
  readonly tls?: boolean;
  /** More variables for the runner. */
  readonly runnerEnv?: Readonly<Record<string, string>>;
  /** More variables for the builders. */
  readonly builderEnv?: Readonly<Record<string, string>>;
  /** Default: `compression=zstd&write-nar-listing=true&log-compression=zstd&ls-compression=none`. */
  readonly cacheOptions?: string;
}

export interface PairBuilder {
  readonly name: string;
  readonly store: TestNixStore;
  /** Its process of the moment. */
  readonly process: Child;
}

function toml(settings: Settings): string {
  const value = (one: SettingValue): string => {
    if (typeof one !== "object") return JSON.stringify(one);
    return "toml" in one ? one.toml : `[${one.map((item) => JSON.stringify(item)).join(", ")}]`;
  };
  return Object.entries(settings)
    .map(([key, one]) => `${key} = ${value(one)}\n`)
    .join("");
}

export class Pair implements AsyncDisposable {
  readonly folder: string;
  readonly store: TestNixStore;
  readonly tables: HydraTables;
  readonly notifications: NotificationRecorder;
  readonly jobsetId: number;
  readonly dataDir: string;
  readonly cacheFolder: string;
  readonly publicKey: string;
  readonly statusUrl: string;
  readonly #grpcPort: number;
  readonly #restPort: number;
  /** REST and gRPC of the second runner. */
  readonly #standbyPorts: readonly [number, number];
  readonly #options: PairOptions;
  readonly #stops: (() => Promise<unknown>)[];
  readonly #children: Child[] = [];
  readonly #builders: {
    readonly name: string;
    readonly store: TestNixStore;
    readonly config: string;
    readonly options: PairBuilderOptions;
    process: Child | undefined;
  }[] = [];
  #runner: Child | undefined;
  readonly #gateways = new Map<string, Gateway>();

  private constructor(
    options: PairOptions,
    parts: {
      readonly folder: string;
      readonly store: TestNixStore;
      readonly tables: HydraTables;
      readonly notifications: NotificationRecorder;
      readonly jobsetId: number;
      readonly publicKey: string;
      readonly restPort: number;
      readonly grpcPort: number;
      readonly standbyPorts: readonly [number, number];
      readonly stops: (() => Promise<unknown>)[];
    },
  ) {
    this.#options = options;
    this.folder = parts.folder;
    this.store = parts.store;
    this.tables = parts.tables;
    this.notifications = parts.notifications;
    this.jobsetId = parts.jobsetId;
    this.publicKey = parts.publicKey;
    this.dataDir = join(parts.folder, "data");
    this.cacheFolder = join(parts.folder, "cache");
    this.#restPort = parts.restPort;
    this.#grpcPort = parts.grpcPort;
    this.#standbyPorts = parts.standbyPorts;
    this.statusUrl = `http://127.0.0.1:${parts.restPort}`;
    this.#stops = parts.stops;
  }

  /** Starts everything and resolves when all builders have joined. */
  static async start(options: PairOptions): Promise<Pair> {
    const stops: (() => Promise<unknown>)[] = [];
    let pair: Pair | undefined;
    try {
      const folder = await mkdtemp(join(options.parent ?? tmpdir(), "hydra-pair-"));
      stops.push(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }));
      await mkdir(join(folder, "cache"));
      const newStore = async (
        name: string,
        { systemFeatures, nixConf }: PairBuilderOptions = {},
      ): Promise<TestNixStore> => {
        const store = await startNixStore({
          directory: folder,
          name,
          ...(systemFeatures === undefined ? {} : { systemFeatures }),
          ...(nixConf === undefined ? {} : { extraConf: nixConf }),
        });
        stops.push(() => store.close());
        return store;
      };
      const builderOptions = options.builders ?? [{}];
      const [store, ...builderStores] = await Promise.all([
        newStore("runner", options.nixConf === undefined ? {} : { nixConf: options.nixConf }),
        ...builderOptions.map((one, index) => newStore(`builder-${index}`, one)),
      ]);
      if (store === undefined) throw new Error("no store for the runner");
      const keyFiles = [join(folder, "key"), join(folder, "key.pub")] as const;
      await run("nix-store", ["--generate-binary-cache-key", "pair-1", ...keyFiles]);
      const tables = await HydraTables.connect(options.databaseUrl, store);
      stops.push(() => tables.close());
      const notifications = await NotificationRecorder.connect(options.databaseUrl);
      stops.push(() => notifications.close());
      pair = new Pair(options, {
        folder,
        store,
        tables,
        notifications,
        jobsetId: await tables.addJobset(),
        publicKey: (await readFile(keyFiles[1], "utf8")).trim(),
        restPort: await freePort(),
        grpcPort: await freePort(),
        standbyPorts: [await freePort(), await freePort()],
        stops,
      });
      await pair.#writeFiles(builderOptions, builderStores);
      const started = pair;
      for (const [name, start] of Object.entries(options.gateways ?? {})) {
        const gateway = await start(started.gatewayUrl);
        started.#gateways.set(name, gateway);
        stops.push(async () => gateway[Symbol.asyncDispose]());
      }
      stops.push(() => started.#stopChildren());
      await pair.startRunner();
      for (const index of builderOptions.keys()) pair.startBuilder(index);
      await pair.waitForBuilders(builderOptions.length);
      return pair;
    } catch (error) {
      process.stderr.write(`the pair did not start\n${pair?.report() ?? ""}\n`);
      for (const stop of stops.reverse()) await stop();
      throw error;
    }
  }

  async #writeFiles(builders: readonly PairBuilderOptions[], stores: readonly TestNixStore[]): Promise<void> {
    const cacheOptions =
      this.#options.cacheOptions ??
      "compression=zstd&write-nar-listing=true&log-compression=zstd&ls-compression=none";
    await writeFile(
      join(this.folder, "queue-runner.toml"),
      toml({
        hydraDataDir: this.dataDir,
        dbUrl: this.#options.databaseUrl,
        maxDbConnections: 16,
        rootsDir: join(this.folder, "roots"),
        remoteStoreAddr: [
          `file://${this.cacheFolder}?${cacheOptions}&secret-key=${join(this.folder, "key")}`,
        ],
        retryInterval: 1,
        maxRetries: 2,
        // Longer than builders take to find a runner that was killed and came back.
        maxUnsupportedTimeInS: 60,
        dispatchTriggerTimerInS: 1,
        ...this.#options.runner,
      }),
    );
    for (const [index, builder] of builders.entries()) {
      const store = stores[index];
      if (store === undefined) throw new Error(`no store for builder ${index}`);
      const name = builder.name ?? `builder-${String.fromCharCode(97 + index)}`;
      const config = join(this.folder, `builder-${index}.toml`);
      await writeFile(
        config,
        toml({
          hostname: name,
          maxJobs: 4,
          pingInterval: 1,
          buildDirAvailThreshold: 0,
          storeAvailThreshold: 0,
          ...builder.settings,
        }),
      );
      this.#builders.push({ name, store, config, options: builder, process: undefined });
    }
  }

  /** Where builders find the runner. */
  get gatewayUrl(): string {
    return this.#urlOf(this.#grpcPort);
  }

  /** Where builders find the runner behind the gateway of this name. */
  urlThrough(gateway: string): string {
    const found = this.#gateways.get(gateway);
    if (found === undefined) throw new Error(`there is no gateway ${gateway}`);
    return found.endpoint;
  }

  #urlOf(port: number): string {
    return `${this.#options.tls === true ? "https" : "http"}://127.0.0.1:${port}`;
  }

  get runner(): Child {
    if (this.#runner === undefined) throw new Error("the runner was not started");
    return this.#runner;
  }

  builder(index = 0): PairBuilder {
    const builder = this.#builders[index];
    if (builder?.process === undefined) throw new Error(`builder ${index} was not started`);
    return { name: builder.name, store: builder.store, process: builder.process };
  }

  /** The builder by the name that stands in the rows. */
  builderNamed(name: string): PairBuilder {
    return this.builder(this.#builders.findIndex((one) => one.name === name));
  }

  /** Starts the runner (again) on the same ports, data and database; resolves when it answers. */
  async startRunner(): Promise<Child> {
    const child = await this.#startRunnerOn(this.#restPort, this.#grpcPort);
    this.#runner = child;
    return child;
  }

  /** Starts the second runner (again): same database and data, ports of its own; resolves when it answers. */
  async startStandby(): Promise<Child> {
    const [restPort, grpcPort] = this.#standbyPorts;
    return this.#startRunnerOn(restPort, grpcPort);
  }

  async #startRunnerOn(restPort: number, grpcPort: number): Promise<Child> {
    const child = startChild({
      name: "queue-runner",
      command: process.execPath,
      args: [
        queueRunnerProgram,
        "--config-path",
        join(this.folder, "queue-runner.toml"),
        "--rest-bind",
        `127.0.0.1:${restPort}`,
        "--grpc-bind",
        `127.0.0.1:${grpcPort}`,
        ...(this.#options.runnerFlags ?? []),
      ],
      env: { ...this.store.env, ...logEnvironment, LOGNAME: "tester", ...this.#options.runnerEnv },
    });
    this.#children.push(child);
    const died = child.ended.then(() => {
      throw new Error(`the queue runner ended:\n${child.output()}`);
    });
    died.catch(() => undefined);
    const started = async (): Promise<boolean> => {
      const { queueRunner } = await this.#getOn(restPort, "/status");
      return (queueRunner as { readonly state: string }).state !== "starting";
    };
    await until("the queue runner to answer", () => started().catch(() => false), {
      timeoutMs: 120_000,
      unless: died,
    });
    return child;
  }

  /** Starts a builder (again); does not wait until it has joined. */
  startBuilder(index = 0): Child {
    const builder = this.#builders[index];
    if (builder === undefined) throw new Error(`there is no builder ${index}`);
    const { gateway, flags = [] } = builder.options;
    const child = startChild({
      name: builder.name,
      command: process.execPath,
      args: [
        builderProgram,
        "--config-path",
        builder.config,
        "--gateway-endpoint",
        gateway === undefined ? this.gatewayUrl : this.urlThrough(gateway),
        // Behind a gateway, nothing goes around it.
        ...(gateway === undefined ? ["--gateway-endpoint", this.#urlOf(this.#standbyPorts[1])] : []),
        ...flags,
      ],
      env: { ...builder.store.env, ...logEnvironment, ...this.#options.builderEnv },
    });
    builder.process = child;
    this.#children.push(child);
    return child;
  }

  /** Waits until the runner counts so many machines. */
  async waitForBuilders(count: number): Promise<void> {
    await until(`${count} builders to join`, async () => {
      const { machinesCount } = await this.get("/status/machines");
      return machinesCount === count;
    });
  }

  /** JSON of the status API. */
  get(path: string): Promise<Readonly<Record<string, unknown>>> {
    return this.#getOn(this.#restPort, path);
  }

  /** JSON of the status API of the second runner. */
  getOnStandby(path: string): Promise<Readonly<Record<string, unknown>>> {
    return this.#getOn(this.#standbyPorts[0], path);
  }

  async #getOn(port: number, path: string): Promise<Readonly<Record<string, unknown>>> {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { signal: AbortSignal.timeout(60_000) });
    if (!response.ok) throw new Error(`GET ${path} answered ${response.status}: ${await response.text()}`);
    return (await response.json()) as Record<string, unknown>;
  }

  /** Evaluates expressions in the runner's store, as Hydra's evaluator does; one derivation path for each. */
  async instantiate(...expressions: readonly string[]): Promise<string[]> {
    const output = await this.store.run("nix-instantiate", ["-E", ...expressions]);
    return output.split("\n").filter((line) => line !== "");
  }

  /** Instantiates and queues; one build for each expression. */
  async build(...expressions: readonly string[]): Promise<number[]> {
    const drvs = await this.instantiate(...expressions);
    return this.tables.addBuilds(drvs.map((drv) => ({ drv, jobsetId: this.jobsetId })));
  }

  /** The last lines of every process, for the report of a failed test. */
  report(lines = 150): string {
    return this.#children
      .map((child) => {
        const tail = child.output().trimEnd().split("\n").slice(-lines).join("\n");
        return `--- ${child.name} (${child.running ? "running" : "ended"}, process ${child.pid})\n${tail}`;
      })
      .join("\n");
  }

  async #stopChildren(): Promise<void> {
    const runners = this.#children.filter((child) => child.name === "queue-runner");
    await Promise.all(
      this.#children.filter((child) => !runners.includes(child)).map((child) => child.stop()),
    );
    await Promise.all(runners.map((child) => child.stop()));
  }

  /** Ends all processes and removes all files. Fails when a program printed something that is not a log line of ours. */
  async close(): Promise<void> {
    for (const stop of this.#stops.splice(0).reverse()) await stop();
    const foreign = this.#children.flatMap((child) => foreignLines(child.output()));
    if (foreign.length > 0) throw new Error(`not lines of our log:\n${foreign.join("\n")}`);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

const logLine = /^\d{4}-\d\d-\d\dT[\d:.]+Z +(?:ERROR|WARN|INFO|DEBUG|TRACE) [\w-]+: /;
const jsonLine = /^\{"time":".*\}$/;

/** Whole lines of output that were not written by our logger, such as warnings of libraries. */
function foreignLines(output: string): string[] {
  const lines = output.split("\n");
  // A killed program may have written a part of its last line, and the oldest output may have been dropped.
  return lines
    .slice(output.length > 1 << 20 ? 1 : 0, -1)
    .filter((line) => !logLine.test(line) && !jsonLine.test(line));
}

/** `HYDRA_TEST_LOG=debug` makes the programs say more. */
const logEnvironment: Readonly<Record<string, string>> =
  process.env.HYDRA_TEST_LOG === undefined ? {} : { RUST_LOG: process.env.HYDRA_TEST_LOG };

/**
 * One pair for all tests of a file; its logs are printed when a test fails. Call it at the top of the file, and the
 * result inside tests.
 */
export function usePair(
  options: () => Promise<Omit<PairOptions, "databaseUrl"> & { readonly databaseUrl: string }>,
): () => Pair {
  let pair: Pair | undefined;
  beforeAll(async () => {
    pair = await Pair.start(await options());
  });
  afterEach(({ task }) => {
    if (task.result?.state === "fail") process.stderr.write(`${pair?.report() ?? "no pair"}\n`);
  });
  afterAll(() => pair?.close());
  return () => {
    if (pair === undefined) throw new Error("the pair was not started");
    return pair;
  };
}
