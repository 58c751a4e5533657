/**
 * The real runner between simulated neighbours: Hydra's database, a store, builders, and time itself.
 *
 * `simulateRunner` runs one plan to its end and throws an `InvariantError` as soon as a rule is broken. The runner is
 * killed and started again on the way; database, store and builders go on without it.
 */
import { toError } from "../../../lib/errors.js";
import type { BuildOrder } from "../../../lib/rpc/index.js";
import { buildId } from "../../../lib/scheduler/ids.js";
import { demand } from "../oracle.js";
import { SeededRandom } from "../random.js";
import { type KnownDerivation, makeDerivations } from "./derivations.js";
import { RunnerLife } from "./runner-life.js";
import { checkDrained, checkEnded, checkOutcomes, checkState } from "./runner-oracle.js";
import { type PlannedDerivation, type RunnerEvent, type RunnerPlan, start } from "./runner-plan.js";
import { type Run, SimulatedBuilder } from "./simulated-builder.js";
import { noDatabaseFaults, SimulatedDatabase } from "./simulated-database.js";
import { noStoreFaults, SimulatedStore, storeDir } from "./simulated-store.js";
import type { BuildRow } from "./tables.js";
import { VirtualTime } from "./virtual-time.js";

export interface RunnerSimulationResult {
  readonly events: number;
  readonly builds: number;
  readonly transactions: number;
  readonly lives: number;
  /** Of virtual time. */
  readonly minutes: number;
}

/** What may end builds before their time. */
const disturbing: ReadonlySet<string> = new Set([
  "cancel",
  "restartBuild",
  "deleteBuild",
  "leave",
  "breakTunnel",
  "silence",
  "crash",
  "kill",
  "stop",
]);
const losing: ReadonlySet<string> = new Set(["leave", "breakTunnel", "silence", "crash"]);
const maxEvents = 60_000;

export function simulateRunner(plan: RunnerPlan): Promise<RunnerSimulationResult> {
  return inWorld(plan, (world) => world.run());
}

/** A world of its own, whose time is that of the process meanwhile. */
export async function inWorld<T>(plan: RunnerPlan, work: (world: RunnerWorld) => Promise<T>): Promise<T> {
  const time = new VirtualTime(start);
  const installed = time.install();
  try {
    return await work(new RunnerWorld(plan, time));
  } finally {
    installed[Symbol.dispose]();
  }
}

export class RunnerWorld {
  readonly plan: RunnerPlan;
  readonly time: VirtualTime;
  readonly random: SeededRandom;
  readonly database: SimulatedDatabase;
  readonly store: SimulatedStore;
  readonly derivations: ReadonlyMap<string, KnownDerivation>;
  readonly builders: SimulatedBuilder[] = [];
  /** Builds that somebody cancelled at some time. */
  readonly cancelled = new Set<number>();
  readonly #atOnce: (() => void)[] = [];
  life: RunnerLife | undefined;
  deletions = 0;
  restarts = 0;
  /** How often a machine, or the way to it, was lost. */
  losses = 0;
  /** Outputs that were made safe and public. */
  readonly published = new Set<string>();
  #disturbances = 0;
  /** Some build was; nothing tells the runner when. */
  #repointed = false;
  lives = 0;
  healed = false;
  #events = 0;
  /** When the neighbours last were slow or out of order, and when they last refused something. */
  #troubleAt = 0;
  #failuresAt = 0;
  /** A rule that was broken where nobody could be told at once. */
  #failure: unknown;

  constructor(plan: RunnerPlan, time: VirtualTime) {
    this.plan = plan;
    this.time = time;
    this.random = new SeededRandom(plan.seed ^ 0x5eed);
    this.database = new SimulatedDatabase(time, new SeededRandom(plan.seed ^ 0xdb));
    this.store = new SimulatedStore(time, new SeededRandom(plan.seed ^ 0x570e));
    this.derivations = makeDerivations(plan);
    for (const { drv, twin, derivation } of this.derivations.values()) {
      this.store.derivations.set(drv, derivation);
      if (twin !== undefined) this.store.derivations.set(twin, derivation);
    }
    this.database.onEnded = (row) => checkEnded(this, row);
    for (let id = 1; id <= 2; id++) this.database.jobsets.push({ id, shares: 100 });
  }

  /** The whole plan, from the first start of the runner to the end of everything. */
  async run(): Promise<RunnerSimulationResult> {
    this.startRunner();
    for (const event of this.plan.events) this.time.after(event.at, () => this.#happen(event));
    this.time.after(this.plan.healAt, () => this.heal());
    const drainedAt = await this.drain();
    return {
      events: this.#events,
      builds: this.database.tables.builds.size,
      transactions: this.database.transactions,
      lives: this.lives,
      minutes: Math.round((drainedAt - start) / 60_000),
    };
  }

  planned(name: string): PlannedDerivation {
    const found = this.plan.derivations.get(name);
    if (found === undefined) throw new Error(`no derivation ${name}`);
    return found;
  }

  /** Something to be looked at when everything that follows at once has happened. */
  afterEvent(check: () => void): void {
    this.#atOnce.push(check);
  }

  async #next(): Promise<void> {
    const more = await this.time.next();
    demand(++this.#events < maxEvents && more, "once faults stop, everything drains", () => this.describe());
    this.#watchNeighbours();
    for (const check of this.#atOnce.splice(0)) check();
    const failure = this.#failure ?? this.life?.failure ?? this.database.failure;
    if (failure !== undefined) throw toError(failure);
    checkState(this);
  }

  #watchNeighbours(): void {
    const { database, store, time } = this;
    const { down, collide, loseAnswer } = database.faults;
    if (down || collide > 0 || loseAnswer > 0 || store.faults.down || store.faults.refuses !== undefined)
      this.#failuresAt = time.now();
    if (database.faults !== noDatabaseFaults || store.faults !== noStoreFaults) this.#troubleAt = time.now();
  }

  #drained(): boolean {
    return (
      this.healed &&
      this.database.unfinished().length === 0 &&
      this.life?.idle === true &&
      this.builders.every((builder) => [...builder.runs.values()].every((run) => run.state !== "done"))
    );
  }

  /** Goes on for some milliseconds. */
  async advance(milliseconds: number): Promise<void> {
    const until = this.time.now() + milliseconds;
    this.time.after(milliseconds, () => {});
    while (this.time.now() < until) await this.#next();
  }

  /** Goes on until all is done, and then until all memory is free; returns when all was done. */
  async drain(): Promise<number> {
    while (!this.#drained()) await this.#next();
    checkOutcomes(this);
    const drainedAt = this.time.now();
    await this.#shutDown();
    return drainedAt;
  }

  /** The runner of this life waits from now on for builders that its predecessor knew. */
  runnerActive(): void {
    for (const builder of this.builders) builder.runnerActive(this.lives);
  }

  /** Hydra's database, store and notifications have worked for some time. */
  calmFor(milliseconds: number): boolean {
    return this.time.now() - this.#troubleAt >= milliseconds;
  }

  /** Nobody has refused anything for some time; they may have been slow. */
  faultlessFor(milliseconds: number): boolean {
    return this.time.now() - this.#failuresAt >= milliseconds;
  }

  startRunner(): void {
    this.lives++;
    this.life = new RunnerLife(this);
  }

  kill(downMs: number): void {
    const { life } = this;
    if (life === undefined) return;
    this.life = undefined;
    life.kill();
    this.time.dropProcessTimers();
    for (const builder of this.builders) builder.runnerDied(this.lives);
    this.time.after(downMs, () => this.startRunner());
  }

  // ── what happens ──

  #happen({ kind, seed }: RunnerEvent): void {
    const random = new SeededRandom(seed);
    if (disturbing.has(kind)) this.#disturbances++;
    if (losing.has(kind)) this.losses++;
    const pick = <T>(items: readonly T[]): T | undefined =>
      items.length === 0 ? undefined : random.pick(items);
    const builder = (): SimulatedBuilder | undefined => pick(this.builders.filter(({ gone }) => !gone));
    const build = (finished: boolean): BuildRow | undefined =>
      pick([...this.database.tables.builds.values()].filter((row) => row.finished === finished));
    switch (kind) {
      case "build":
        this.#addBuilds(random);
        return;
      case "cancel": {
        const row = build(false);
        if (row === undefined) return;
        this.cancelled.add(row.id);
        this.database.cancel(row);
        return;
      }
      case "bump": {
        const row = build(false);
        if (row === undefined) return;
        row.globalPriority = random.int(1, 5);
        this.database.notify("builds_bumped");
        return;
      }
      case "restartBuild": {
        const row = build(true);
        if (row === undefined) return;
        this.restarts++;
        this.database.restart(row);
        return;
      }
      case "repoint": {
        const row = build(false);
        const twin = [...this.derivations.values()].find(({ drv }) => row?.drvPath.endsWith(drv))?.twin;
        if (row === undefined || twin === undefined) return;
        row.drvPath = `${storeDir}/${twin}`;
        this.#repointed = true;
        return;
      }
      case "deleteBuild": {
        const row = build(random.chance(0.3));
        if (row === undefined) return;
        this.deletions++;
        for (const one of this.builders) one.forgetWaiting();
        this.database.delete(row);
        return;
      }
      case "takeIn": {
        const row = build(false);
        if (row !== undefined) this.life?.parts.monitor.takeIn(buildId(row.id)).catch(() => {});
        return;
      }
      case "shares": {
        const jobset = pick(this.database.jobsets);
        if (jobset !== undefined) jobset.shares = random.int(1, 3) * 100;
        this.database.notify("jobset_shares_changed");
        return;
      }
      case "join":
        this.addBuilder(random);
        return;
      case "leave":
        builder()?.leave();
        return;
      case "breakTunnel":
        builder()?.breakTunnel();
        return;
      case "silence":
        builder()?.silence();
        return;
      case "crash":
        builder()?.crash();
        return;
      case "stallRun":
        builder()?.stallOne(random);
        return;
      case "spoof": {
        const run = pick(this.builders.flatMap((one) => [...one.runs.values()]).filter((one) => one.owned));
        if (run !== undefined) builder()?.spoof(run);
        return;
      }
      case "database": {
        const chance = (): number => (random.chance(0.5) ? random.next() * 0.5 : 0);
        const faults = {
          down: random.chance(0.3),
          collide: chance(),
          loseAnswer: chance(),
          slow: chance() / 3,
          deaf: chance(),
        };
        this.database.faults = faults;
        this.time.after(random.int(1000, 60_000), () => {
          if (this.database.faults === faults) this.database.heal();
        });
        return;
      }
      case "store": {
        const faults = { down: random.chance(0.3), slow: random.next() * 0.3 };
        this.store.faults = faults;
        this.time.after(random.int(1000, 30_000), () => {
          if (this.store.faults === faults) this.store.faults = noStoreFaults;
        });
        return;
      }
      case "kill":
        this.kill(random.int(100, 20_000));
        return;
      case "stop": {
        const { life } = this;
        void life?.stop().then(() => {
          if (this.life === life) this.kill(random.int(100, 5_000));
        });
        return;
      }
    }
  }

  #addBuilds(random: SeededRandom): void {
    const count = random.int(1, 3);
    for (let i = 0; i < count; i++) {
      this.database.addBuild({
        jobset: random.int(1, 2),
        drvPath: `${storeDir}/${random.pick([...this.derivations.values()]).drv}`,
        priority: random.pick([50, 100]),
        globalPriority: random.chance(0.2) ? 1 : 0,
      });
    }
  }

  /** `able`: it can build everything. What is not said is left to chance. */
  addBuilder(
    random: SeededRandom,
    options: { readonly able?: boolean; readonly keepsBuilds?: boolean } = {},
  ): void {
    const { able = false, keepsBuilds = random.chance(0.5) } = options;
    const number = this.builders.length + 1;
    const all = ["x86_64-linux", "aarch64-linux"];
    this.builders.push(
      new SimulatedBuilder(
        {
          time: this.time,
          random: this.random,
          store: this.store,
          plan: this.plan,
          runner: () => this.life?.side,
          healed: () => this.healed,
          planned: (name) => this.planned(name),
          onOrder: (order, machine) => this.#guarded(() => this.#checkOrder(order, machine)),
          disturbances: () => this.#disturbances,
          onAbort: (run) => this.#guarded(() => this.#checkAbort(run)),
          onReport: (run, again) => this.#watchReport(run, again),
        },
        {
          machineId: `00000000-0000-4000-8000-${String(number).padStart(12, "0")}`,
          systems: able || random.chance(0.4) ? all : [random.pick(all)],
          hostname: `host${number}`,
          cpuCount: 4,
          bogomips: 4000,
          speedFactor: 1,
          maxJobs: random.int(1, 3),
          buildDirAvailThreshold: 0,
          storeAvailThreshold: 0,
          load1Threshold: 8,
          cpuPsiThreshold: 75,
          memPsiThreshold: 80,
          ioPsiThreshold: undefined,
          totalMem: 1,
          supportedFeatures: able || random.chance(0.5) ? ["kvm"] : [],
          mandatoryFeatures: [],
          cgroups: false,
          substituters: [],
          useSubstitutes: false,
          nixVersion: "2.30",
        },
        { keepsBuilds },
      ),
    );
  }

  /** From now on nothing goes wrong any more. */
  heal(): void {
    this.healed = true;
    this.database.heal();
    this.store.faults = noStoreFaults;
    for (const builder of this.builders) builder.heal();
    this.addBuilder(this.random, { able: true });
  }

  // ── what is watched ──

  /** A derivation that somebody else has in hand must not be handed out. */
  #checkOrder({ drv, buildId: id }: BuildOrder, machine: string): void {
    const now = this.time.now();
    demand(
      this.life?.knows({ id, machine }) === true,
      "what is handed out is known",
      () => `${drv} went to ${machine}`,
    );
    demand(this.life?.taken.has(drv) !== true, "what is built is not built again", () => drv);
    for (const builder of this.builders) {
      for (const run of builder.runs.values()) {
        if (run.drv !== drv || run.state === "over") continue;
        const owned = run.owned || (run.ownedUntil !== undefined && now < run.ownedUntil);
        demand(!owned, "no derivation runs twice at once", () => `${drv} is still on ${run.machine}`);
      }
    }
  }

  /** A build is given up only when something happened that may be a reason. */
  #checkAbort(run: Run): void {
    const reason =
      run.stalled ||
      this.#repointed ||
      run.life !== this.lives ||
      run.disturbances !== this.#disturbances ||
      !this.calmFor(100_000);
    demand(reason, "no build is given up without a reason", () => `${run.id} on ${run.machine}`);
  }

  /** A stale report is refused and changes nothing. */
  #watchReport(run: Run, again: boolean): (error: unknown) => void {
    const check = this.#checkAnswer(run, again);
    return (error) => this.#guarded(() => check(error));
  }

  /** For checks that the runner's own code is in the middle of: it must not get to see their failure. */
  #guarded(check: () => void): void {
    try {
      check();
    } catch (broken) {
      this.#failure ??= broken;
    }
  }

  #checkAnswer(run: Run, again: boolean): (error: unknown) => void {
    const { life } = this;
    if (life === undefined) return () => {};
    const { owned } = run;
    const known = life.reported.has(run.id);
    const answered = life.answered.has(run.id);
    life.reported.add(run.id);
    const event = this.#events;
    const before = life.knows(run) ? undefined : life.digest();
    return (error) => {
      if (this.life !== life) return;
      if (error === undefined) {
        life.answered.add(run.id);
        const paths = [...(run.completion?.outputs.values() ?? [])].map(({ path }) => path);
        if (paths.length > 0 && paths.every((path) => this.store.valid.has(path))) life.taken.add(run.drv);
      }
      demand(
        !answered || error === undefined,
        "a repeated report gets the answer of the first",
        () => `${run.id}: ${String(error)}`,
      );
      if (before === undefined || known || again) return;
      if (error === undefined) {
        demand(owned || this.#events !== event, "a stale report is refused", () => `${run.id} was taken`);
      } else if (this.#events === event) {
        demand(!owned, "only stale reports are refused", () => `${run.id} on ${run.machine}`);
        this.afterEvent(() =>
          demand(life.digest() === before, "a stale report changes nothing", () => run.id),
        );
      }
    };
  }

  async #shutDown(): Promise<void> {
    const { life } = this;
    for (const builder of this.builders) builder.leave();
    life?.rest();
    const until = this.time.now() + 26 * 3_600_000;
    this.time.after(until - this.time.now(), () => {});
    while (this.time.now() < until && (await this.time.next()));
    if (life !== undefined) checkDrained(this, life);
  }

  describe(): string {
    const why = this.life?.parts.scheduler
      .steps()
      .map((step) => this.life?.parts.scheduler.why(step.id, this.time.now()));
    return JSON.stringify({
      at: this.time.now() - start,
      unfinished: this.database.unfinished().map(({ id }) => id),
      attempts: this.life?.parts.attempts.size,
      tasks: this.life?.parts.tasks.size,
      why,
    });
  }
}
