/** The parts of the scheduler, wired together; the functions of this room work on it. */

import type { Brand } from "../brand.js";
import { checkTime } from "./check-input.js";
import type { AttemptId, BuildId } from "./ids.js";
import type { CircuitBreaker } from "./machines/circuit-breaker.js";
import { MachinePool } from "./machines/machine-pool.js";
import { namedDefaults, type SchedulerOptions } from "./options.js";
import { type PolicyNotice, stepOrderOf } from "./policies.js";
import { JobsetShares } from "./queue/jobset-shares.js";
import { QueueBoard } from "./queue/queue-board.js";
import type { OrderHolder } from "./queue/ready-queue.js";
import type { StepKeys } from "./queue/step-keys.js";
import { RetryPolicy } from "./retry-policy.js";
import { type Attempt, type Build, keysOfBuild, type Step } from "./steps/step.js";
import { StepGraph } from "./steps/step-graph.js";
import { Timer, type TimerContext, Timers } from "./timers.js";
import type { AttemptLimits, SchedulerNotice } from "./types.js";
import type { SchedulerCounters } from "./views/views.js";

/** What the parts call back into; given by the modules that own the life of steps. */
export interface CoreHooks {
  wantedChanged(core: Core, step: Step): void;
  unsupported(core: Core, step: Step, context: TimerContext): void;
  noticed(notice: SchedulerNotice): void;
}

/** `SchedulerCounters` for the parts that count. */
export type Counters = { -readonly [K in keyof SchedulerCounters]: SchedulerCounters[K] };

/** The breaker of a host whose machine left, until it is forgotten. */
export interface RememberedHost {
  readonly breaker: CircuitBreaker;
  readonly timer: Timer;
}

/**
 * A core whose step keys (priorities, jobsets, limits, wanted or not) say what builds and dependents say now.
 *
 * What reads keys to decide takes a `SettledCore`; what only notes changes takes any `Core`, so that many changes cost
 * one visit of each step. Made by {@link Core.settled} and {@link Core.settledAt} only. The brand holds for the start
 * of an operation: what the operation itself changes is settled at the start of the next one.
 */
export type SettledCore = Brand<Core, "settled">;

/** The state of one scheduler: graph, queues, machines, shares and timers. */
export class Core {
  /** Time of the latest call; hooks that run inside a call use it. */
  now = 0;
  readonly timers = new Timers();
  readonly holder: OrderHolder;
  readonly shares: JobsetShares;
  readonly graph: StepGraph;
  readonly board: QueueBoard<Step>;
  readonly pool: MachinePool;
  readonly builds = new Map<BuildId, Build>();
  readonly attempts = new Map<AttemptId, Attempt>();
  readonly hosts = new Map<string, RememberedHost>();
  /** Milliseconds waited in queues, by system; one small entry per system ever seen. */
  readonly waitedMs = new Map<string, number>();
  retry: RetryPolicy;
  sequence = 0;
  /** Steps held by a gate, and those (not gated) that wait for a look into a dynamic input. */
  gated = 0;
  dynamicPending = 0;
  readonly counters: Counters = {
    stepsAdded: 0,
    buildsAdded: 0,
    attemptsStarted: 0,
    stepsFinished: 0,
    stepsFailed: 0,
    buildsFinished: 0,
    buildsFailed: 0,
    buildsRemoved: 0,
    retries: 0,
    maxTries: 0,
    cancelled: 0,
    postponed: 0,
    staleReports: 0,
    unsupportedFailed: 0,
    machinesLost: 0,
    deadlinesMissed: 0,
    holds: 0,
  };
  #limits: AttemptLimits = { maxSilent: 0, timeout: 0 };
  readonly #hooks: CoreHooks;
  readonly #pruneTimer: Timer;
  #brokenOrder = false;

  constructor(
    public options: SchedulerOptions,
    hooks: CoreHooks,
  ) {
    this.#hooks = hooks;
    this.holder = { order: stepOrderOf(options, (notice) => this.#stepOrderFailed(notice)) };
    this.retry = new RetryPolicy(options.retry);
    this.shares = new JobsetShares((jobsets, change) => this.board.rekey(jobsets, change));
    this.board = new QueueBoard(
      this.holder,
      this.shares,
      this.timers,
      () => this.options,
      (step, context) => hooks.unsupported(this, step, context),
    );
    this.graph = new StepGraph(this.shares, {
      detach: (step) => this.board.detach(step),
      attach: (step) => this.board.attach(step),
      keysOf: (build) => this.keysOf(build),
      wantedChanged: (step) => hooks.wantedChanged(this, step),
    });
    this.pool = new MachinePool(options, this.timers, {
      classAdded: (cls) => this.board.addClass(cls),
      classRemoved: (cls) => this.board.removeClass(cls, this.now),
      opened: (cls) => this.board.unpark(cls),
      noticed: (notice) => hooks.noticed(notice),
    });
    this.#pruneTimer = new Timer(({ now }) => {
      this.shares.prune(now);
      this.armPrune();
    });
    this.graph.setCriticalPath(this.holder.order.usesCriticalPath);
  }

  /** What a build asks of its step. */
  keysOf(build: Build): StepKeys {
    return keysOfBuild(build, this.options);
  }

  /** Brings the keys of all steps up to date. */
  settled(): SettledCore {
    this.graph.settle();
    if (this.#brokenOrder) this.setStepOrder(namedDefaults.stepOrder);
    return this as Core as SettledCore;
  }

  /** Begins an operation that reads keys: they are as the last operation left them, then the time is set. */
  settledAt(now: number): SettledCore {
    checkTime(now);
    const core = this.settled();
    core.now = now;
    return core;
  }

  /** Begins an operation that only notes changes, or has nothing to do with keys. */
  at(now: number): Core {
    checkTime(now);
    this.now = now;
    return this;
  }

  /** Limits of an attempt, in seconds. Most attempts have the same as the one before: they share one object. */
  limits(maxSilent: number, timeout: number): AttemptLimits {
    const last = this.#limits;
    if (last.maxSilent !== maxSilent || last.timeout !== timeout) this.#limits = { maxSilent, timeout };
    return this.#limits;
  }

  /** Orders all queues by another rule. O(n log n). */
  setStepOrder(rule: SchedulerOptions["stepOrder"]): void {
    this.#brokenOrder = false;
    this.options = { ...this.options, stepOrder: rule };
    this.holder.order = stepOrderOf(this.options, (notice) => this.#stepOrderFailed(notice));
    this.board.rebuild();
    this.graph.setCriticalPath(this.holder.order.usesCriticalPath);
  }

  /** In the middle of a comparison; the queues are ordered by the default as soon as nothing changes them. */
  #stepOrderFailed(notice: PolicyNotice): void {
    this.#brokenOrder = true;
    this.#hooks.noticed(notice);
  }

  /** Arms the timer that drops charges when they leave the window. */
  armPrune(): void {
    const at = this.shares.nextExpiry;
    if (at === undefined) this.timers.clear(this.#pruneTimer);
    else this.timers.set(this.#pruneTimer, at);
  }
}
