/**
 * The real runner between simulated neighbours: Hydra's database, a store, builders, and time itself.
 *
 * `simulateRunner` runs one plan to its end and throws an `InvariantError` as soon as a rule is broken. The runner is
 * killed and started again on the way; database, store and builders go on without it.
 */
import { toError } from "../../../lib/errors.js";
import type { StorePath } from "../../../lib/nix/index.js";
import { type KnownDerivation, makeDerivations } from "../../../lib/testing/simulated/derivations.js";
import { SeededRandom } from "../../../lib/testing/simulated/seeded-random.js";
import { noDatabaseFaults, SimulatedDatabase } from "../../../lib/testing/simulated/simulated-database.js";
import { noStoreFaults, SimulatedStore } from "../../../lib/testing/simulated/simulated-store.js";
import { pathOf } from "../../../lib/testing/simulated/store-paths.js";
import { VirtualTime } from "../../../lib/testing/simulated/virtual-time.js";
import { demand } from "../oracle.js";
import { AnnouncementWatch } from "./announcements.js";
import { BuilderWatch } from "./builder-watch.js";
import { happen } from "./happenings.js";
import { joinFacts } from "./join-facts.js";
import { Ledger } from "./ledger.js";
import { principalFor } from "./principals.js";
import { RunnerLife } from "./runner-life.js";
import { checkDrained, checkEnded, checkOutcomes, checkReplaced, checkState } from "./runner-oracle.js";
import { type PlannedDerivation, type RunnerPlan, start } from "./runner-plan.js";
import { SimulatedBucket } from "./simulated-bucket.js";
import { SimulatedBuilder } from "./simulated-builder.js";
import { SimulatedDisk } from "./simulated-disk.js";
import { UnprovenList } from "./unproven-list.js";

export interface RunnerSimulationResult {
  readonly events: number;
  readonly builds: number;
  readonly transactions: number;
  readonly lives: number;
  /** Of virtual time. */
  readonly minutes: number;
}

const maxEvents = 60_000;
/** How long a pass of the queue monitor may take that began while its neighbours were slow. Milliseconds. */
const passGraceMs = 100_000;
/** How long the last rows may take to be closed. Milliseconds. */
const rowGraceMs = 60_000;

export function simulateRunner(plan: RunnerPlan): Promise<RunnerSimulationResult> {
  return inWorld(plan, (world) => world.run());
}

/** A world of its own, whose time is that of the process meanwhile. */
export async function inWorld<T>(plan: RunnerPlan, work: (world: RunnerWorld) => Promise<T>): Promise<T> {
  const time = new VirtualTime(start);
  const installed = await time.install();
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
  readonly derivations: ReadonlyMap<string, KnownDerivation<PlannedDerivation>>;
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
  /** How often something happened that may end builds early. */
  disturbances = 0;
  /** When it last did; milliseconds since the epoch. */
  disturbedAt = Number.NEGATIVE_INFINITY;
  /** Some build was; nothing tells the runner when. */
  repointed = false;
  readonly watch = new BuilderWatch(this);
  readonly ledger = new Ledger();
  readonly disk = new SimulatedDisk();
  readonly bucket: SimulatedBucket;
  readonly unproven = new UnprovenList();
  lives = 0;
  healed = false;
  events = 0;
  /** When the neighbours last were slow or out of order, and when they last refused something. */
  #troubleAt = 0;
  #failuresAt = 0;

  constructor(plan: RunnerPlan, time: VirtualTime) {
    this.plan = plan;
    this.time = time;
    this.random = new SeededRandom(plan.seed ^ 0x5eed);
    this.database = new SimulatedDatabase(time, new SeededRandom(plan.seed ^ 0xdb), () =>
      announcements.committed(),
    );
    const announcements = new AnnouncementWatch(this.database.tables, (row) => checkEnded(this, row));
    this.store = new SimulatedStore(time, new SeededRandom(plan.seed ^ 0x570e), (before) =>
      checkReplaced(this, before),
    );
    this.bucket = new SimulatedBucket(time);
    this.derivations = makeDerivations(String(plan.seed), plan.derivations.values());
    for (const { drv, twin, derivation } of this.derivations.values()) {
      this.store.derivations.set(drv, derivation);
      if (twin !== undefined) this.store.derivations.set(twin, derivation);
    }
    for (let id = 1; id <= 2; id++) {
      this.database.jobsets.push({ id, project: "project", name: `jobset${id}`, shares: 100 });
    }
  }

  /** The whole plan, from the first start of the runner to the end of everything. */
  async run(): Promise<RunnerSimulationResult> {
    this.startRunner();
    for (const event of this.plan.events) this.time.after(event.at, () => happen(this, event));
    this.time.after(this.plan.healAt, () => this.heal());
    const drainedAt = await this.drain();
    return {
      events: this.events,
      builds: this.database.tables.builds.size,
      transactions: this.database.transactions,
      lives: this.lives,
      minutes: Math.round((drainedAt - start) / 60_000),
    };
  }

  /** Something happens that may end builds early. */
  disturb(): void {
    this.disturbances++;
    this.disturbedAt = this.time.now();
  }

  planned(name: string): PlannedDerivation {
    const found = this.plan.derivations.get(name);
    if (found === undefined) throw new Error(`no derivation ${name}`);
    return found;
  }

  /** Of all derivations whose outputs have a path before they are built, and of the others some path. */
  readonly outputPaths = (): readonly StorePath[] =>
    [...this.derivations.values()].map(({ derivation, planned }) => {
      const output = derivation.outputs.get("out");
      return output?.kind === "inputAddressed" ? output.path : pathOf("unknown", planned.name);
    });

  /** Whether a row says that the machine is building the derivation. */
  hasRow(drv: StorePath, machine: string): boolean {
    const hostname = this.builders.find(({ id }) => id === machine)?.hostname;
    return [...this.database.tables.steps.values()].some(
      (row) => row.busy !== 0 && row.machine === hostname && row.drvPath.endsWith(drv),
    );
  }

  /** Something to be looked at when everything that follows at once has happened. */
  afterEvent(check: () => void): void {
    this.#atOnce.push(check);
  }

  async #next(): Promise<void> {
    const more = await this.time.next();
    demand(++this.events < maxEvents && more, "once faults stop, everything drains", () => this.describe());
    this.#watchNeighbours();
    for (const check of this.#atOnce.splice(0)) check();
    const failure = this.watch.failure ?? this.life?.failure ?? this.database.failure;
    if (failure !== undefined) throw toError(failure);
    checkState(this);
  }

  #watchNeighbours(): void {
    const { database, store, time } = this;
    const { down, collide, loseAnswer } = database.faults;
    if (this.disk.fault !== undefined || this.bucket.silent || database.faults.frozen)
      this.#failuresAt = time.now();
    if (this.disk.fault !== undefined || this.bucket.silent) this.#troubleAt = time.now();
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
    // Builds that were cancelled meanwhile do not wait for the last rows, but the rows must be closed.
    const rowsUntil = this.time.now() + rowGraceMs;
    this.time.after(rowGraceMs, () => {});
    while (this.database.hasBusyRow() && this.time.now() < rowsUntil) await this.#next();
    checkOutcomes(this);
    const drainedAt = this.time.now();
    // A pass that began earlier may still bring in a build that was cancelled meanwhile; the next pass removes it.
    await this.advance(passGraceMs);
    while (!this.#drained()) await this.#next();
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

  /** `able`: it can build everything. What is not said is left to chance. */
  addBuilder(
    random: SeededRandom,
    options: { readonly able?: boolean; readonly keepsBuilds?: boolean } = {},
  ): void {
    const { able = false, keepsBuilds = random.chance(0.5) } = options;
    const number = this.builders.length + 1;
    this.builders.push(
      new SimulatedBuilder(
        {
          time: this.time,
          random: this.random,
          ledger: this.ledger,
          plan: this.plan,
          outputPaths: this.outputPaths,
          runner: () => this.life?.side,
          healed: () => this.healed,
          planned: (name) => this.planned(name),
          hasRow: (drv, machine) => this.hasRow(drv, machine),
          watch: this.watch,
          disturbances: () => this.disturbances,
        },
        joinFacts(number, able, random),
        { keepsBuilds, principal: principalFor(this.plan.principals, number) },
      ),
    );
  }

  /** From now on nothing goes wrong any more. */
  heal(): void {
    this.healed = true;
    this.database.heal();
    this.store.faults = noStoreFaults;
    this.disk.fault = undefined;
    this.bucket.heal();
    for (const builder of this.builders) builder.heal();
    this.addBuilder(this.random, { able: true });
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
    const why = this.life?.parts.scheduler.view
      .steps()
      .map((step) => this.life?.parts.scheduler.why(step.id));
    return JSON.stringify({
      at: this.time.now() - start,
      unfinished: this.database.unfinished().map(({ id }) => id),
      attempts: this.life?.parts.attempts.size,
      tasks: this.life?.parts.tasks.size,
      why,
    });
  }
}
