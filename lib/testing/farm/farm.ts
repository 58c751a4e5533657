/** A farm in one process and in virtual time: the real runner between a simulated database, store, wire and machines. */
import type { BinaryCache } from "../../binary-cache/index.js";
import { defineQueueRunnerConfig } from "../../config/index.js";
import { toError } from "../../errors.js";
import { silentLogger } from "../../log.js";
import { runnerEventNames } from "../../runner/events/event-names.js";
import {
  EventBus,
  type RunnerEvent,
  type RunnerEventName,
  type RunnerListener,
  type Unsubscribe,
} from "../../runner/events/index.js";
import { NotifierFeed, notifiersOf } from "../../runner/sinks.js";
import { type KnownDerivation, makeDerivations } from "../simulated/derivations.js";
import { MemoryJournal } from "../simulated/memory-journal.js";
import { SeededRandom } from "../simulated/seeded-random.js";
import { SimulatedDatabase } from "../simulated/simulated-database.js";
import { SimulatedStore } from "../simulated/simulated-store.js";
import { storeDir } from "../simulated/store-paths.js";
import { VirtualTime } from "../simulated/virtual-time.js";
import { FarmDatabase, FarmStore } from "./farm-edges.js";
import { FarmMachine } from "./farm-machine.js";
import { FarmRunner } from "./farm-runner.js";
import {
  type SimulatedFarmOptions,
  type SimulatedMachine,
  type SimulatedRequest,
  type SimulatedRunOptions,
  SimulationError,
} from "./options.js";
import { type PlannedPackage, planPackages } from "./package-set.js";

const dayMs = 24 * 3_600_000;
const defaultJobset = "simulated:main";

/** The timers of a process can be replaced by one farm only. */
let someFarmRuns = false;

/** See `simulateFarm`. */
export class SimulatedFarm implements AsyncDisposable {
  /** Everything that has happened so far, in order. */
  readonly events: readonly RunnerEvent[];
  /** Hydra's database. */
  readonly database: FarmDatabase;
  /** The runner's store. */
  readonly store: FarmStore;
  readonly #options: SimulatedFarmOptions;
  readonly #config: ReturnType<typeof defineQueueRunnerConfig>;
  readonly #time: VirtualTime;
  readonly #known: ReadonlyMap<string, KnownDerivation<PlannedPackage>>;
  readonly #database: SimulatedDatabase;
  readonly #store: SimulatedStore;
  readonly #bus: EventBus;
  readonly #uploads = new MemoryJournal();
  readonly #notifiers: readonly NotifierFeed[];
  readonly #machines = new Map<string, FarmMachine>();
  #joined = 0;
  #runner: FarmRunner | undefined;
  #lives = 0;
  /** Calls of `after` whose time has not come. */
  #planned = 0;
  #failure: Error | undefined;
  #closed = false;

  /** @throws SimulationError `bad-farm` for packages and machines that cannot be; `ConfigError` for settings that cannot */
  constructor(options: SimulatedFarmOptions) {
    const { seed = 1, packages, startAt = 1_700_000_000_000, machines = [] } = options;
    const logger = options.logger ?? silentLogger;
    this.#options = options;
    checkCaches(options.caches ?? []);
    this.#config = configOf(options);
    this.#time = new VirtualTime(startAt);
    this.#database = new SimulatedDatabase(this.#time, new SeededRandom(seed ^ 0xdb));
    // As in Hydra's own schema.
    this.#database.limits = { maxSilent: 3600, timeout: 36_000 };
    this.#store = new SimulatedStore(this.#time, new SeededRandom(seed ^ 0x570e));
    this.#known = makeDerivations(String(seed), planPackages(packages));
    for (const { drv, derivation } of this.#known.values()) this.#store.derivations.set(drv, derivation);
    this.database = new FarmDatabase(this.#database, this.#time);
    this.store = new FarmStore(this.#store, this.#time, this.#known);
    this.#bus = new EventBus(logger);
    const events: RunnerEvent[] = [];
    this.events = events;
    for (const name of runnerEventNames) {
      this.#bus.on(name, (event: RunnerEvent) => void events.push(event));
    }
    this.#notifiers = notifiersOf(options).map((one) => new NotifierFeed(this.#bus, one, logger));
    this.#time.after(0, () => this.#startRunner());
    for (const machine of machines) this.join(machine);
  }

  /** Virtual milliseconds since the epoch. */
  get now(): number {
    return this.#time.now();
  }

  /** Hostnames of the machines in the farm, with the names of the packages that each builds. */
  get machines(): ReadonlyMap<string, readonly string[]> {
    return new Map([...this.#machines].map(([hostname, { building }]) => [hostname, building]));
  }

  /** Calls `listener` for each event of that name, as `QueueRunner.on` does. */
  on<Name extends RunnerEventName>(name: Name, listener: RunnerListener<Name>): Unsubscribe {
    return this.#bus.on(name, listener);
  }

  /**
   * Queues a build.
   *
   * @returns its id
   * @throws SimulationError `bad-farm` for a package that is not there, or a jobset without a colon
   */
  enqueue(request: SimulatedRequest): number {
    const known = this.#known.get(request.package);
    if (known === undefined) throw new SimulationError("bad-farm", `there is no package ${request.package}`);
    return this.#database.addBuild({
      jobset: this.#jobset(request.jobset ?? defaultJobset),
      job: request.package,
      drvPath: `${storeDir}/${known.drv}`,
      priority: request.priority ?? 100,
      globalPriority: request.globalPriority ?? 0,
      timestamp: this.#database.seconds,
    });
  }

  /** Does something later, while the farm runs. `milliseconds`: of virtual time, from now. */
  after(milliseconds: number, action: () => void): void {
    this.#planned++;
    this.#time.after(milliseconds, () => {
      this.#planned--;
      try {
        action();
      } catch (error) {
        this.#failure ??= toError(error);
      }
    });
  }

  /**
   * A machine joins the farm.
   *
   * @throws SimulationError `bad-farm` when one of that hostname is in it
   */
  join(machine: SimulatedMachine): void {
    const { hostname } = machine;
    if (this.#machines.has(hostname))
      throw new SimulationError("bad-farm", `${hostname} is in the farm already`);
    const world = {
      time: this.#time,
      random: new SeededRandom((this.#options.seed ?? 1) ^ (++this.#joined * 7919)),
      handlers: () => this.#runner?.handlers,
      planned: (name: string) => this.#known.get(name)?.planned,
    };
    const number = this.#joined;
    this.#time.after(0, () => {
      if (this.#machines.get(hostname) === made) made.start();
    });
    const made = new FarmMachine(world, machine, number);
    this.#machines.set(hostname, made);
  }

  /** A machine leaves for good, with all that it builds. */
  leave(hostname: string): void {
    const machine = this.#machine(hostname);
    this.#machines.delete(hostname);
    this.#time.after(0, () => machine.leave());
  }

  /** The connection of a machine breaks and is back after some virtual milliseconds. Its builds go on. Default 0. */
  cut(hostname: string, forMs = 0): void {
    const machine = this.#machine(hostname);
    this.#time.after(0, () => machine.cut(forMs));
  }

  /** Nothing passes between a machine and the runner for some virtual milliseconds, and neither side notices. */
  silence(hostname: string, forMs: number): void {
    const machine = this.#machine(hostname);
    this.#time.after(0, () => machine.silence(forMs));
  }

  /** A machine restarts: what it builds is lost. It is back after some virtual milliseconds. Default 60,000. */
  crash(hostname: string, downMs = 60_000): void {
    const machine = this.#machine(hostname);
    this.#time.after(0, () => machine.crash(downMs));
  }

  /** The runner's process is killed, and started again after some virtual milliseconds. Default 1,000. */
  killRunner(downMs = 1_000): void {
    this.#time.after(0, () => {
      if (this.#runner === undefined) return;
      this.#runner.kill();
      this.#runner = undefined;
      for (const machine of this.#machines.values()) machine.runnerDied();
      this.#time.after(downMs, () => this.#startRunner());
    });
  }

  /**
   * Lets time pass. While it does, the timers and clocks of this process are those of the farm: code under test that waits
   * with them waits in virtual time. It must not wait for real input or output, which virtual time does not wait for.
   *
   * @throws SimulationError `no-end` when the condition is not met in time; `busy` when some farm runs; `runner-failed`
   * when the runner could not start, or an action of `after` threw
   */
  async run({ until, limitMs = 30 * dayMs }: SimulatedRunOptions = {}): Promise<void> {
    if (this.#closed) throw new SimulationError("busy", "the farm is closed");
    const start = this.now;
    if (typeof until === "number") this.#time.after(until, () => {});
    const done =
      typeof until === "number" ? () => this.now >= start + until : (until ?? (() => this.#isAtRest()));
    await this.#inTime(async () => {
      while (!done()) {
        if (this.now > start + limitMs) {
          throw new SimulationError(
            "no-end",
            `not done after ${limitMs} virtual milliseconds: ${this.#describe()}`,
          );
        }
        await this.#time.next();
        if (this.#failure !== undefined) {
          throw new SimulationError("runner-failed", this.#failure.message, { cause: this.#failure });
        }
      }
    });
  }

  /** Ends everything; results that are with the sink are waited for, in virtual time. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    await this.#inTime(async () => {
      this.#closed = true;
      this.#runner?.kill();
      this.#runner = undefined;
      for (const machine of this.#machines.values()) machine.leave();
      this.#bus.close();
      const notifications = { over: false };
      void Promise.all(this.#notifiers.map((one) => one.close())).finally(() => {
        notifications.over = true;
      });
      while (!notifications.over) await this.#time.next();
      this.#time.dropProcessTimers();
    });
  }

  async #inTime(work: () => Promise<void>): Promise<void> {
    if (someFarmRuns) throw new SimulationError("busy", "a simulated farm runs in this process already");
    someFarmRuns = true;
    try {
      const installed = await this.#time.install();
      try {
        await work();
      } finally {
        installed[Symbol.dispose]();
      }
    } finally {
      someFarmRuns = false;
    }
  }

  #startRunner(): void {
    if (this.#closed) return;
    const { seed = 1, logger = silentLogger, onLog, caches = [] } = this.#options;
    this.#lives++;
    const runner = new FarmRunner({
      config: this.#config,
      database: this.#database,
      store: this.#store,
      now: this.#time.now,
      seed: seed ^ (this.#lives * 104_729),
      policies: this.#options,
      onLog,
      caches,
      journal: this.#uploads,
      events: this.#bus,
      logger,
    });
    this.#runner = runner;
    runner.start().catch((error: unknown) => {
      if (this.#runner === runner) this.#failure ??= toError(error);
    });
  }

  #isAtRest(): boolean {
    return (
      this.#planned === 0 &&
      this.#notifiers.every(({ waiting }) => waiting === 0) &&
      this.#runner?.idle === true &&
      this.#database.unfinished().length === 0 &&
      !this.#database.hasBusyRow()
    );
  }

  #jobset(fullName: string): number {
    const { jobsets } = this.#database;
    const found = jobsets.find(({ project, name }) => `${project}:${name}` === fullName);
    if (found !== undefined) return found.id;
    const [project = "", name = "", ...more] = fullName.split(":");
    if (project === "" || name === "" || more.length > 0) {
      throw new SimulationError("bad-farm", `'${fullName}' is not 'project:jobset'`);
    }
    const id = jobsets.length + 1;
    jobsets.push({ id, project, name, shares: this.#options.shares?.[fullName] ?? 100 });
    return id;
  }

  #machine(hostname: string): FarmMachine {
    const machine = this.#machines.get(hostname);
    if (machine === undefined) throw new SimulationError("bad-farm", `there is no machine ${hostname}`);
    return machine;
  }

  #describe(): string {
    const waiting = this.#database.unfinished().map(({ id, job }) => `build ${id} (${job})`);
    const uploads = this.#uploads.size === 0 ? [] : [`${this.#uploads.size} uploads`];
    const all = [...waiting.slice(0, 10), ...uploads];
    return all.length === 0 ? "no build waits" : all.join(", ");
  }
}

/** Compressors work in other threads and processes, which virtual time does not wait for. */
function checkCaches(caches: readonly BinaryCache[]): void {
  const compressing = caches.find(({ settings }) => settings.compression !== "none");
  if (compressing !== undefined) {
    throw new SimulationError(
      "bad-farm",
      `the cache ${compressing.name} compresses; make it with the setting compression: "none"`,
    );
  }
}

function configOf({ config = {} }: SimulatedFarmOptions): ReturnType<typeof defineQueueRunnerConfig> {
  return defineQueueRunnerConfig(
    {
      hydraDataDir: "/simulated",
      ...config,
      dbUrl: "postgres://simulated/hydra",
      remoteStoreAddr: [],
      useSubstitutes: false,
      usePresignedUploads: false,
    },
    { env: {}, onWarning: () => {} },
  );
}
