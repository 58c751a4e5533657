/** The nodes of the step graph and what hangs on them. Internal to this room; callers see views. */
import type { AttemptId, BuildId, MachineId, StepId } from "../ids.js";
import type { Machine } from "../machines/machine.js";
import type { SchedulerOptions } from "../options.js";
import type { Jobset, UsageEntry } from "../queue/jobset-shares.js";
import type { RankedNode } from "../queue/ranked-tree.js";
import type { Bucket, QueuedStep, ReadyQueue } from "../queue/ready-queue.js";
import { limitKey, StepKeys } from "../queue/step-keys.js";
import type { OrderedStep } from "../queue/step-order.js";
import type { Timer } from "../timers.js";
import type { AttemptLimits, AttemptPhase, NewBuild, NewStep } from "../types.js";
import type { StepState } from "../views/views.js";
import { noItems } from "./step-list.js";

/** A build that is not finished, and the step it needs. */
export class Build {
  readonly id: BuildId;
  globalPriority: number;
  localPriority: number;
  readonly timestamp: number;
  readonly job: string | undefined;
  readonly maxSilent: number | undefined;
  readonly timeout: number | undefined;

  constructor(
    from: NewBuild,
    readonly jobset: Jobset,
    public step: Step,
  ) {
    this.id = from.id;
    this.globalPriority = from.globalPriority;
    this.localPriority = from.localPriority;
    this.timestamp = from.timestamp;
    this.job = from.job;
    this.maxSilent = from.maxSilent;
    this.timeout = from.timeout;
  }
}

/** What a build asks of its step. Made when it is needed, because that is seldom. */
export function keysOfBuild(
  build: Build,
  { defaultMaxSilent, defaultTimeout }: Pick<SchedulerOptions, "defaultMaxSilent" | "defaultTimeout">,
): StepKeys {
  const keys = new StepKeys(build.jobset.single);
  keys.globalPriority = build.globalPriority;
  keys.localPriority = build.localPriority;
  keys.maxSilent = limitKey(build.maxSilent ?? defaultMaxSilent);
  keys.timeout = limitKey(build.timeout ?? defaultTimeout);
  keys.lowestBuild = build.id;
  return keys;
}

/** Chains of output names to follow once an input is built; see `StepInput.chain`. */
export type Chains = readonly (readonly string[])[];

/** One try of a step on a machine, from the reserved slot to its outcome. */
export class Attempt {
  /** Builds occupy a slot; uploads do not. */
  holdsSlot = true;
  phase: AttemptPhase = "sent";
  /** The build message was sent; before that nothing can have been tried. */
  onItsWay = false;
  timer: Timer | undefined;

  constructor(
    readonly id: AttemptId,
    readonly step: Step,
    readonly machine: Machine,
    readonly build: BuildId,
    readonly startedAt: number,
    readonly limits: AttemptLimits,
    readonly usage: UsageEntry,
  ) {}
}

/** What only steps have that have been ready: most steps of a large queue wait for inputs. */
class StepTurn {
  // Written by ReadyQueue: its place there.
  queue: ReadyQueue<Step> | undefined;
  node: RankedNode<Step> | undefined;

  // Written by the life of steps.
  runnable = false;
  runnableSince = 0;
  readySince = 0;

  // Written by the life of attempts: the running one.
  attempt: Attempt | undefined;
}

/** What only steps have that have been tried without success, or are held back by more than their inputs: few. */
class StepPast {
  // Written by StepGraph.
  chains: Map<Step, Chains> | undefined;

  // Written by ReadyQueue, for a custom order.
  ordered: OrderedStep | undefined;

  // Written by the life of steps (step-life, ingest, Scheduler.ungate): what holds it back.
  gate: "upload" | undefined;
  dynamicPending: Map<StepId, Chains> | undefined;
  retryTimer: Timer | undefined;
  aliases: StepId[] | undefined;

  // Written by the life of attempts: what earlier ones left.
  tries = 0;
  notBefore = 0;
  lastReason: string | undefined;
  avoid: MachineId | undefined;
  suspects: Machine | undefined;
}

/**
 * A node of the graph. Members are grouped by the one part of the room that writes them; all others only read them.
 */
export class Step implements QueuedStep<Step> {
  readonly id: StepId;
  readonly name: string;

  // Written by StepGraph: how it hangs in the graph.
  inputs: readonly Step[] = noItems;
  /** With those that were removed and not yet taken out: pass over them. */
  dependents: readonly Step[] = noItems;
  /** How many of `dependents` were removed. */
  removedDependents = 0;
  builds: readonly Build[] = noItems;
  /** Larger than that of every input: the order in which changes travel down. */
  height = 0;
  removed = false;

  // Written by StepGraph.settle: what orders it in a queue.
  keys: StepKeys;
  criticalPath = 0;
  dependentCount = 0;
  /** The keys joined with what came since the last visit. */
  pending: StepKeys | undefined;
  /** A contributor shrank or left: the pending keys may be too much. */
  stale = false;

  // Written by HeightQueue.
  /** Waits to be visited by `StepGraph.settle`. */
  dirty = false;

  // Written by the life of steps.
  state: StepState = "blocked";
  expectedMs: number;

  #turn: StepTurn | undefined;
  #past: StepPast | undefined;

  constructor(
    from: NewStep,
    readonly bucket: Bucket<Step>,
    /** Last resort between otherwise equal steps: first come, first served. */
    readonly sequence: number,
    none: StepKeys,
    defaultDurationMs: number,
  ) {
    this.id = from.id;
    this.name = from.name;
    this.expectedMs = from.expectedDurationMs ?? defaultDurationMs;
    if (from.gate !== undefined) this.gate = from.gate;
    if (from.tries !== undefined) this.tries = from.tries;
    if (from.notBefore !== undefined) this.notBefore = from.notBefore;
    this.keys = none;
  }

  get #ownTurn(): StepTurn {
    this.#turn ??= new StepTurn();
    return this.#turn;
  }

  get #own(): StepPast {
    this.#past ??= new StepPast();
    return this.#past;
  }

  get queue(): ReadyQueue<Step> | undefined {
    return this.#turn?.queue;
  }
  set queue(queue) {
    this.#ownTurn.queue = queue;
  }

  get node(): RankedNode<Step> | undefined {
    return this.#turn?.node;
  }
  set node(node) {
    this.#ownTurn.node = node;
  }

  get ordered(): OrderedStep | undefined {
    return this.#past?.ordered;
  }
  set ordered(ordered) {
    this.#own.ordered = ordered;
  }

  get gate(): "upload" | undefined {
    return this.#past?.gate;
  }
  set gate(gate) {
    this.#own.gate = gate;
  }

  /** Finished dynamic inputs whose outputs still have to be looked into. */
  get dynamicPending(): Map<StepId, Chains> | undefined {
    return this.#past?.dynamicPending;
  }
  set dynamicPending(pending) {
    this.#own.dynamicPending = pending;
  }

  get runnable(): boolean {
    return this.#turn?.runnable ?? false;
  }
  set runnable(runnable) {
    this.#ownTurn.runnable = runnable;
  }

  get runnableSince(): number {
    return this.#turn?.runnableSince ?? 0;
  }
  set runnableSince(since) {
    this.#ownTurn.runnableSince = since;
  }

  /** When it last entered a queue. */
  get readySince(): number {
    return this.#turn?.readySince ?? 0;
  }
  set readySince(since) {
    this.#ownTurn.readySince = since;
  }

  get retryTimer(): Timer | undefined {
    return this.#past?.retryTimer;
  }
  set retryTimer(timer) {
    this.#own.retryTimer = timer;
  }

  /** Derivations that were resolved to this one. */
  get aliases(): StepId[] | undefined {
    return this.#past?.aliases;
  }
  set aliases(aliases) {
    this.#own.aliases = aliases;
  }

  get attempt(): Attempt | undefined {
    return this.#turn?.attempt;
  }
  set attempt(attempt) {
    this.#ownTurn.attempt = attempt;
  }

  get tries(): number {
    return this.#past?.tries ?? 0;
  }
  set tries(tries) {
    this.#own.tries = tries;
  }

  /** Earliest start of the next try. */
  get notBefore(): number {
    return this.#past?.notBefore ?? 0;
  }
  set notBefore(at) {
    this.#own.notBefore = at;
  }

  get lastReason(): string | undefined {
    return this.#past?.lastReason;
  }
  set lastReason(reason) {
    this.#own.lastReason = reason;
  }

  /** Machine of the last failed try. */
  get avoid(): MachineId | undefined {
    return this.#past?.avoid;
  }
  set avoid(machine) {
    this.#own.avoid = machine;
  }

  /** The machine against which its first failure counts. */
  get suspects(): Machine | undefined {
    return this.#past?.suspects;
  }
  set suspects(machine) {
    this.#own.suspects = machine;
  }

  /** Chains of output names to follow once `input` is built. */
  chainsOf(input: Step): Chains {
    return this.#past?.chains?.get(input) ?? noItems;
  }

  addChain(input: Step, chain: readonly string[]): void {
    this.#own.chains ??= new Map();
    this.#own.chains.set(input, [...this.chainsOf(input), chain]);
  }

  dropChains(input: Step): void {
    this.#past?.chains?.delete(input);
  }

  describe(): OrderedStep {
    const { keys, bucket } = this;
    return {
      drv: this.id,
      name: this.name,
      system: bucket.system,
      features: bucket.features,
      globalPriority: keys.globalPriority,
      localPriority: keys.localPriority,
      lowestBuild: keys.lowestBuild,
      jobsets: keys.jobsets.jobsets.map(({ id, project, name, shares }) => ({ id, project, name, shares })),
      expectedMs: this.expectedMs,
      dependents: this.dependentCount,
      criticalPathMs: this.criticalPath,
      tries: this.tries,
      sequence: this.sequence,
    };
  }

  get tried(): boolean {
    return this.tries > 0;
  }

  /** Steps that wait for it. */
  get dependentsLeft(): number {
    return this.dependents.length - this.removedDependents;
  }

  /** Some build or other step depends on it. */
  get needed(): boolean {
    return this.builds.length > 0 || this.dependentsLeft > 0;
  }

  get blocked(): boolean {
    return this.inputs.length > 0 || this.gate !== undefined || this.dynamicPending !== undefined;
  }
}
