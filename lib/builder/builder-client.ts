/** Joins a runner and builds for it. */

import { randomUUID } from "node:crypto";
import { tmpdir } from "node:os";
import {
  type ArgumentRule,
  aFunction,
  aList,
  aLogger,
  anAmount,
  anObject,
  aStore,
  aText,
  checkArgument,
  checkMembers,
  checkNoOthers,
  having,
  isObject,
  listOf,
  optional,
} from "../argument-checks.js";
import { referenceProtocolVersion } from "../config/queue-runner-settings.js";
import { errorChain, toError } from "../errors.js";
import { type Logger, silentLogger } from "../log.js";
import type { BuilderTunnel, RunnerApi, RunnerOrder } from "../rpc/types.js";
import type { ActiveBuilds } from "./build/active-builds.js";
import type { InputImporter } from "./build/import-inputs.js";
import { joinSomewhere } from "./connection/join-somewhere.js";
import { RunnerLink } from "./connection/runner-link.js";
import type { ThisMachine } from "./connection/this-machine.js";
import { checkVersion, join, stay } from "./connection/tunnel-session.js";
import { type BuilderCounters, type MutableCounters, newCounters } from "./counters.js";
import { BuilderError } from "./errors.js";
import { GuardedHooks } from "./hooks.js";
import type {
  BuilderClientOptions,
  BuilderExit,
  BuilderSettings,
  OpenBuilderOptions,
  RunnerGateway,
} from "./options.js";

interface Joined {
  readonly gateway: RunnerGateway;
  readonly api: RunnerApi;
  readonly tunnel: BuilderTunnel;
}

/** What a started builder works with. It is loaded by the start, so that importing the class is quick. */
interface Work {
  readonly importer: InputImporter;
  readonly builds: ActiveBuilds;
  readonly machine: ThisMachine;
}

const builderSettings: ArgumentRule = {
  words: "what defineBuilderConfig() returns",
  accepts: (value) => isObject(value) && typeof value.maxJobs === "number",
};

const optionRules = {
  settings: builderSettings,
  gateways: listOf("a list of gateways, not empty: see runnerGateways()", having("", ["connect"])),
  store: aStore,
  hostname: optional(aText),
  version: optional(aText),
  env: optional(anObject),
  nixConfiguration: optional(anObject),
  defaultBuildDir: optional(aText),
  resumable: optional(aFunction),
  reconnectDelayMs: optional(anObject),
  reconnectTimeoutMs: optional(anAmount),
  maxActiveBuilds: optional(anAmount),
  silenceLimitMs: optional(anAmount),
  spoolDirectory: optional(aText),
  logger: optional(aLogger),
  onActivity: optional(aFunction),
  onLog: optional(aFunction),
  onBuild: optional(aFunction),
  traceReport: optional(aFunction),
  executor: optional(aFunction),
  sampleSystem: optional(aFunction),
  clock: optional(aFunction),
  random: optional(aFunction),
} satisfies Record<keyof BuilderClientOptions, ArgumentRule>;

/**
 * One build machine.
 *
 * The life of a client: it tries its gateways in turn until one takes it, stays until the tunnel is lost, and tries
 * again, until it is closed, a runner refuses it for good, or none has accepted it for `reconnectTimeoutMs`. What is in
 * work when a tunnel is lost goes on only if the runner takes builders back; else it is aborted, and the machine joins
 * under a new id.
 */
export class BuilderClient implements AsyncDisposable {
  readonly finished: Promise<BuilderExit>;
  readonly #options: BuilderClientOptions;
  readonly #logger: Logger;
  readonly #counters: MutableCounters = newCounters();
  readonly #link = new RunnerLink();
  readonly #hooks: GuardedHooks;
  readonly #clock: () => number;
  #work: Work | undefined;
  /** Ends everything that waits or runs. */
  readonly #stop = new AbortController();
  #settings: BuilderSettings;
  /** Closes the tunnel that is open, so that the machine joins again. */
  #leave: (() => void) | undefined;
  #machineId = randomUUID() as string;
  #started: Promise<void> | undefined;
  #draining = false;
  #finish: (exit: BuilderExit) => void = () => {};

  constructor(options: BuilderClientOptions) {
    checkMembers("BuilderClient", options, optionRules);
    checkNoOthers("BuilderClient", options, optionRules);
    const { settings, logger = silentLogger } = options;
    this.#options = options;
    this.#settings = settings;
    this.#logger = logger;
    this.#clock = options.clock ?? (() => performance.now());
    this.finished = new Promise((resolve) => {
      this.#finish = resolve;
    });
    this.#hooks = new GuardedHooks(options, logger);
  }

  /**
   * Joins the first of `runners` that takes us; resolves then. Default: the settings of `defineBuilderConfig()`.
   *
   * @throws UsageError for options that cannot be used, BuilderError when joining cannot succeed
   */
  static async open(options: OpenBuilderOptions): Promise<BuilderClient> {
    checkMembers("BuilderClient.open", options, { runners: aList, store: aStore });
    const { runners, credentials, ...rest } = options;
    const [{ defineBuilderConfig }, { runnerGateways }] = await Promise.all([
      import("../config/builder-config.js"),
      import("./connection/gateways.js"),
    ]);
    const { storeDir } = options.store;
    const gateways = await runnerGateways({
      addresses: runners,
      credentials,
      storeDir,
      logger: options.logger,
    });
    const client = new BuilderClient({
      ...rest,
      settings: options.settings ?? defineBuilderConfig(),
      gateways,
    });
    try {
      await client.start();
      return client;
    } catch (error) {
      await client.close();
      throw error;
    }
  }

  /** The id of the current tunnel's machine. */
  get machineId(): string {
    return this.#machineId;
  }

  /** A copy of the counters as they are now. */
  counters(): BuilderCounters {
    return { ...this.#counters, reports: { ...this.#counters.reports } };
  }

  /** Connects; resolves when a runner has taken us, rejects with `BuilderError` when it cannot succeed. */
  start(): Promise<void> {
    this.#started ??= this.#start();
    return this.#started;
  }

  /**
   * Takes new settings over. A runner learns them when the machine joins, so it joins again at once (`now`) where that
   * costs nothing: the runner takes builders back, or no build is in progress. Else they count the next time (`later`).
   */
  reload(settings: BuilderSettings): "now" | "later" {
    checkArgument("BuilderClient.reload", "settings", settings, builderSettings);
    this.#settings = settings;
    if (this.#draining || !(this.#link.resumable || (this.#work?.builds.drvs.length ?? 0) === 0))
      return "later";
    this.#leave?.();
    return "now";
  }

  /**
   * Stops, and resolves when everything has ended. `drain`: finish what is running first, while new orders are refused;
   * calling it again without drain cuts short. Builds that are cut short are not reported.
   */
  async close(options: { readonly drain?: boolean } = {}): Promise<void> {
    const reason = "this builder is shutting down";
    this.#draining = true;
    this.#work?.builds.refuse(reason);
    if (options.drain !== true) {
      this.#stop.abort(new BuilderError("closed", "the builder was closed"));
      this.#work?.builds.abortAll(reason);
    }
    await this.#work?.builds.idle();
    this.#stop.abort(new BuilderError("closed", "the builder was closed"));
    if (this.#started === undefined) this.#end(undefined);
    await this.finished;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #start(): Promise<void> {
    try {
      this.#work = await this.#makeWork();
      void this.#work.machine.watch(this.#stop.signal);
      const first = await this.#joinSomewhere();
      void this.#live(first);
    } catch (error) {
      this.#end(toError(error));
      throw error;
    }
  }

  /** From the first tunnel to the last. Never rejects. */
  async #live(first: Joined): Promise<void> {
    try {
      for (let joined = first; ; joined = await this.#joinSomewhere()) {
        const reason = await this.#stayWith(joined);
        if (this.#stop.signal.aborted) break;
        if (reason === newSettings) {
          this.#logger.info("joining again with new settings");
          if (!this.#link.resumable) this.#forgetBuilds(newSettings);
          continue;
        }
        this.#counters.tunnelsLost++;
        this.#logger.warn("the tunnel is lost", { gateway: joined.gateway.address, reason });
        if (!this.#link.resumable) this.#forgetBuilds("the tunnel to the runner was lost");
        if ((this.#options.reconnectTimeoutMs ?? 600_000) === 0) {
          this.#builds.abortAll("the tunnel to the runner was lost");
          break;
        }
      }
      await this.#builds.idle();
      this.#end(undefined);
    } catch (error) {
      this.#builds.abortAll(errorChain(error));
      await this.#builds.idle();
      this.#end(toError(error));
    }
  }

  async #stayWith({ gateway, api, tunnel }: Joined): Promise<string> {
    const { silenceLimitMs = 120_000 } = this.#options;
    const { pingInterval } = this.#settings;
    const { machine, builds } = this.#loaded;
    const leaving = new AbortController();
    this.#leave = () => leaving.abort();
    this.#logger.info("joined", { gateway: gateway.address, machine: this.#machineId });
    this.#counters.connected = true;
    this.#counters.tunnelsOpened++;
    this.#options.onActivity?.(builds.drvs);
    const machineId = this.#machineId;
    try {
      const reason = await stay({
        tunnel,
        pingInterval: Math.max(0.01, pingInterval) * 1000,
        silenceLimit: silenceLimitMs,
        ping: () => machine.ping(machineId, this.#draining),
        onNews: (sendPing) => machine.onNews(sendPing),
        onOrder: (order) => this.#takeOrder(order, machineId),
        logger: this.#logger,
        signal: AbortSignal.any([this.#stop.signal, leaving.signal]),
      });
      return leaving.signal.aborted ? newSettings : reason;
    } finally {
      this.#leave = undefined;
      this.#counters.connected = false;
      this.#link.detach();
      await api.close().catch(() => undefined);
    }
  }

  async #makeWork(): Promise<Work> {
    const [{ ActiveBuilds }, { InputImporter }, { PresignedUploader }, { BuildMeter }, { ThisMachine }] =
      await Promise.all([
        import("./build/active-builds.js"),
        import("./build/import-inputs.js"),
        import("./presigned/upload.js"),
        import("./resources/build-meter.js"),
        import("./connection/this-machine.js"),
        import("../compression/index.js").then(({ loadDecoders }) => loadDecoders()),
      ]);
    const options = this.#options;
    const { store } = options;
    const logger = this.#logger;
    const shared = { store, link: this.#link, counters: this.#counters, logger };
    const spoolDirectory = options.spoolDirectory ?? tmpdir();
    const importer = new InputImporter({ ...shared, useSubstitutes: () => this.#settings.useSubstitutes });
    const builds = new ActiveBuilds({
      environment: {
        ...shared,
        importer,
        presigned: new PresignedUploader({ ...shared, spoolDirectory }),
        buildCores: () => this.#settings.buildCores,
        hooks: this.#hooks,
        meter: new BuildMeter({ enabled: () => this.#settings.measureBuilds ?? true, clock: this.#clock }),
        spoolDirectory,
        clock: this.#clock,
      },
      maxActiveBuilds: () => options.maxActiveBuilds ?? 4 * this.#settings.maxJobs + 16,
      onActivity: options.onActivity,
    });
    const machine = await ThisMachine.describe(
      { ...options, settings: () => this.#settings, hooks: this.#hooks, counters: this.#counters, logger },
      this.#stop.signal,
    );
    return { importer, builds, machine };
  }

  get #loaded(): Work {
    if (this.#work === undefined) throw new Error("the builder has not been started yet");
    return this.#work;
  }

  get #builds(): ActiveBuilds {
    return this.#loaded.builds;
  }

  #takeOrder(order: RunnerOrder, machineId: string): void {
    switch (order.kind) {
      case "joinResponse":
      case "configUpdate":
        if (this.#work !== undefined)
          this.#work.importer.maxConcurrentDownloads = order.maxConcurrentDownloads;
        break;
      case "build":
        this.#builds.take(order.build, machineId);
        break;
      case "abort":
        this.#builds.abort(order.buildId);
        break;
      case "ping":
        break;
    }
  }

  #joinSomewhere(): Promise<Joined> {
    return joinSomewhere({
      ...this.#options,
      joinAt: (gateway) => this.#joinAt(gateway),
      clock: this.#clock,
      logger: this.#logger,
      signal: this.#stop.signal,
    });
  }

  async #joinAt(gateway: RunnerGateway): Promise<Joined> {
    const { version = referenceProtocolVersion, store, resumable = endsInResume } = this.#options;
    const { machine, builds } = this.#loaded;
    const { signal } = this.#stop;
    const api = await gateway.connect();
    try {
      const check = {
        version,
        machineId: this.#machineId,
        hostname: machine.hostname,
        storeDir: store.storeDir,
      };
      const resumes = resumable(await checkVersion(api, check, signal));
      if (!resumes) this.#forgetBuilds("the runner does not take builders back");
      const tunnel = await join(
        api,
        {
          ...machine.join(this.#machineId),
          ...(resumes ? { running: builds.running() } : {}),
        },
        signal,
      );
      this.#link.attach(api, resumes);
      return { gateway, api, tunnel };
    } catch (error) {
      await api.close().catch(() => undefined);
      throw error;
    }
  }

  /** An id belongs to the tunnel on which it joined, unless the runner keeps the machine in the meantime. */
  #forgetBuilds(reason: string): void {
    this.#builds.abortAll(reason);
    this.#machineId = randomUUID();
  }

  #end(error: Error | undefined): void {
    const code = error instanceof BuilderError ? error.code : undefined;
    if (error === undefined || code === "closed") {
      this.#finish({ reason: "closed", exitCode: 0, error: undefined });
    } else {
      const exitCode = error instanceof BuilderError ? error.exitCode : 1;
      this.#finish({ reason: "failed", exitCode, error });
    }
  }
}

/** Why a tunnel was closed by `reload`. */
const newSettings = "new settings";

function endsInResume(serverVersion: string): boolean {
  return serverVersion.endsWith("+resume");
}
