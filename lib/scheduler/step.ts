/** The nodes of the step graph and what hangs on them. Internal to this room; callers see views. */
import type { AttemptId, BuildId, MachineId, StepId } from "./ids.js";
import type { Machine } from "./machines/machine.js";
import type { Jobset, UsageEntry } from "./queue/jobset-shares.js";
import type { RankedNode } from "./queue/ranked-tree.js";
import type { Bucket, QueuedStep, ReadyQueue } from "./queue/ready-queue.js";
import type { StepKeys } from "./queue/step-keys.js";
import type { OrderedStep } from "./queue/step-order.js";
import type { Timer } from "./timers.js";
import type { AttemptLimits, AttemptPhase, NewBuild, NewStep } from "./types.js";
import type { StepState } from "./views.js";

/** A build that is not finished, and the step it needs. */
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

/**
 * A node of the graph. Members are grouped by the one part of the room that writes them; all others only read them.
 */
export class Step implements QueuedStep<Step> {
  readonly id: StepId;
  readonly name: string;

  // Written by StepGraph: how it hangs in the graph.
  readonly inputs: Edge[] = [];
  readonly dependents: Edge[] = [];
  readonly builds: Build[] = [];
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

  // Written by ReadyQueue: its place there.
  queue: ReadyQueue<Step> | undefined;
  node: RankedNode<Step> | undefined;
  ordered: OrderedStep | undefined;

  // Written by the life of steps (step-life, ingest, Scheduler.ungate): what holds it back.
  state: StepState = "blocked";
  gate: "upload" | undefined;
  /** Finished dynamic inputs whose outputs still have to be looked into. */
  dynamicPending: Map<StepId, readonly (readonly string[])[]> | undefined;
  runnable = false;
  runnableSince = 0;
  /** When it last entered a queue. */
  readySince = 0;
  retryTimer: Timer | undefined;
  /** Derivations that were resolved to this one. */
  aliases: StepId[] | undefined;
  expectedMs: number;

  // Written by the life of attempts: the running one, and what earlier ones left.
  attempt: Attempt | undefined;
  tries: number;
  /** Earliest start of the next try. */
  notBefore: number;
  lastReason: string | undefined;
  /** Machine of the last failed try. */
  avoid: MachineId | undefined;
  /** The machine against which its first failure counts. */
  suspects: Machine | undefined;

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

  /** Some build or other step depends on it. */
  get needed(): boolean {
    return this.builds.length > 0 || this.dependents.length > 0;
  }

  get blocked(): boolean {
    return this.inputs.length > 0 || this.gate !== undefined || this.dynamicPending !== undefined;
  }
}
