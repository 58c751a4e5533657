/** The nodes of the step graph and what hangs on them. Internal to this room; callers see views. */
import type { AttemptId, BuildId, MachineId, StepId } from "./ids.js";
import type { Machine } from "./machines/machine.js";
import type { Jobset, UsageEntry } from "./queue/jobset-shares.js";
import type { RankedNode } from "./queue/ranked-tree.js";
import type { Bucket, QueuedStep, ReadyQueue } from "./queue/ready-queue.js";
import type { StepKeys } from "./queue/step-keys.js";
import type { Timer } from "./timers.js";
import type { AttemptLimits, AttemptPhase, NewBuild, NewStep } from "./types.js";
import type { StepState } from "./views.js";

export class Build {
  constructor(
    readonly id: BuildId,
    readonly jobset: Jobset,
    public step: Step,
    public globalPriority: number,
    public localPriority: number,
    /** What it asks of its step. */
    public keys: StepKeys,
    readonly from: NewBuild,
  ) {}
}

/** `dependent` needs `input`. Knows its place in both lists, so that it is taken out in O(1). */
export class Edge {
  constructor(
    readonly dependent: Step,
    readonly input: Step,
    /** Chains of output names to follow once `input` is built; see `StepInput.chain`. */
    public chains: readonly (readonly string[])[],
    public inDependent: number,
    public inInput: number,
  ) {}
}

export class Attempt {
  /** Builds occupy a slot; uploads do not. */
  holdsSlot = true;
  phase: AttemptPhase = "sent";
  /** The order is in the machine's tunnel; before that nothing can have been tried. */
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

export class Step implements QueuedStep<Step> {
  readonly id: StepId;
  readonly name: string;
  expectedMs: number;
  readonly inputs: Edge[] = [];
  readonly dependents: Edge[] = [];
  readonly builds: Build[] = [];
  /** Larger than that of every input: the order in which changes travel down. */
  height = 0;
  /** Waits to be visited by `StepGraph.settle`. */
  dirty = false;
  removed = false;

  /** Queue keys; written by `StepGraph.settle` only, as are the next two. */
  keys: StepKeys;
  criticalPath = 0;
  dependentCount = 0;
  /** The keys joined with what came since the last visit. */
  pending: StepKeys | undefined;
  /** A contributor shrank or left: the pending keys may be too much. */
  stale = false;

  state: StepState = "blocked";
  gate: "upload" | undefined;
  /** Finished dynamic inputs whose outputs still have to be looked into. */
  dynamicPending: Map<StepId, readonly (readonly string[])[]> | undefined;
  runnable = false;
  runnableSince = 0;
  /** When it last entered a queue. */
  readySince = 0;
  tries: number;
  notBefore: number;
  lastReason: string | undefined;
  retryTimer: Timer | undefined;
  /** Machine of the last failed try. */
  avoid: MachineId | undefined;
  attempt: Attempt | undefined;
  queue: ReadyQueue<Step> | undefined;
  node: RankedNode<Step> | undefined;
  aliases: StepId[] | undefined;

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
    this.gate = from.gate;
    this.tries = from.tries ?? 0;
    this.notBefore = from.notBefore ?? 0;
    this.keys = none;
  }

  /** Some build or other step depends on it. */
  get needed(): boolean {
    return this.builds.length > 0 || this.dependents.length > 0;
  }

  get blocked(): boolean {
    return this.inputs.length > 0 || this.gate !== undefined || this.dynamicPending !== undefined;
  }
}
