/**
 * Runnable steps, ordered.
 *
 * ```
 * Bucket        what a machine must offer: (system, feature set, preferLocal)
 *   ReadyQueue  one for steps that have not failed yet, and for the others one per machine to avoid
 *     Step        in a tree by global priority and the keys after the share
 * ```
 *
 * The share used stands between those keys, and changes with every start and end of a step. So it is not a key of the
 * tree: the queue finds the jobsets that have had least among those with steps of the highest global priority, and
 * then the first step of any of them. A change of shares moves no step, however many jobsets the steps have.
 */
import type { MachineId } from "../ids.js";
import type { HeapItem } from "../indexed-heap.js";
import type { MachineClass } from "../machines/machine.js";
import type { Timer } from "../timers.js";
import { equalMasks, type JobsetMask } from "./jobset-mask.js";
import type { JobsetShares } from "./jobset-shares.js";
import { type RankedNode, RankedTree } from "./ranked-tree.js";
import type { RankedStep, StepOrder } from "./step-order.js";

/** The active order; a setting, so it lives behind one reference. */
export interface OrderHolder {
  order: StepOrder;
}

/** What the queues know of a step. Its place is theirs to write. */
export interface QueuedStep<S extends QueuedStep<S>> extends RankedStep {
  readonly bucket: Bucket<S>;
  /** Machine of the last failed try. */
  readonly avoid: MachineId | undefined;
  /** Some try failed. */
  readonly tried: boolean;
  /** When it last entered a queue. */
  readonly readySince: number;
  /** Both undefined outside all queues. */
  queue: ReadyQueue<S> | undefined;
  node: RankedNode<S> | undefined;
}

/** Names the queue of a bucket that a step belongs into. */
export function queueKey({ avoid, tried }: Pick<QueuedStep<never>, "avoid" | "tried">): string {
  return tried ? `avoids ${avoid ?? ""}` : "";
}

/** Steps that need the same of a machine and avoid the same machine. */
export class ReadyQueue<S extends QueuedStep<S>> implements HeapItem {
  /** Place in the heap of queues that may have a free machine; -1 while parked or empty. */
  heapIndex = -1;
  size = 0;
  readonly #holder: OrderHolder;
  readonly #shares: JobsetShares;
  #tree: RankedTree<S>;
  /** The best step and the share it goes with, as of `#version` of the shares; undefined: to be found. */
  #head: S | undefined;
  /** Jobsets of the steps with the highest global priority; undefined: to be found. */
  #top: JobsetMask | undefined;
  /** Those of them that have had least: the head is the first step of any of them. */
  #lowest: JobsetMask = [];
  #share = 0;
  #version = -1;

  constructor(
    readonly bucket: Bucket<S>,
    readonly avoid: MachineId | undefined,
    readonly tried: boolean,
    holder: OrderHolder,
    shares: JobsetShares,
  ) {
    this.#holder = holder;
    this.#shares = shares;
    this.#tree = new RankedTree(holder.order);
  }

  get head(): S | undefined {
    if (this.#holder.order.whole) {
      this.#head ??= this.#tree.first;
      return this.#head;
    }
    if (this.#head === undefined || this.#version !== this.#shares.version) {
      this.#top ??= this.#tree.topMask();
      const { share, jobsets } = this.#shares.lowestOf(this.#top);
      if (this.#head === undefined || !equalMasks(jobsets, this.#lowest)) {
        this.#head = this.#tree.firstOf(jobsets);
        this.#lowest = jobsets;
      }
      this.#share = share;
      this.#version = this.#shares.version;
    }
    return this.#head;
  }

  /** Jobsets that have a step here. */
  get mask(): JobsetMask {
    return this.#tree.mask;
  }

  insert(step: S): void {
    step.queue = this;
    step.node = this.#tree.insert(step);
    this.size++;
    this.#changed();
  }

  remove(step: S): void {
    if (step.node !== undefined) this.#tree.remove(step.node);
    step.queue = undefined;
    step.node = undefined;
    step.ordered = undefined;
    this.size--;
    this.#changed();
  }

  #changed(): void {
    this.#head = undefined;
    this.#top = undefined;
  }

  /** After the order of steps changed altogether. O(n log n). */
  rebuild(): void {
    const steps = [...this.#tree];
    this.#tree = new RankedTree(this.#holder.order);
    for (const step of steps) step.node = this.#tree.insert(step);
    this.#changed();
  }

  /** The head of this queue goes before that of the other. Queues without steps go last. */
  isBefore(other: ReadyQueue<S>): boolean {
    const mine = this.head;
    const theirs = other.head;
    if (mine === undefined) return false;
    if (theirs === undefined) return true;
    if (this.#holder.order.whole) return this.#holder.order.inner(mine, theirs) < 0;
    const { globalPriority } = mine.keys;
    if (globalPriority !== theirs.keys.globalPriority) return globalPriority > theirs.keys.globalPriority;
    if (this.#share !== other.#share) return this.#share < other.#share;
    return this.#holder.order.inner(mine, theirs) < 0;
  }
}

/** Steps that need the same of a machine. */
export class Bucket<S extends QueuedStep<S>> {
  readonly featureSet: ReadonlySet<string>;
  /** Machine classes that fit; empty = unsupported. */
  readonly classes = new Set<MachineClass>();
  /** By {@link queueKey}. */
  readonly queues = new Map<string, ReadyQueue<S>>();
  /** Steps that name this bucket; it is dropped with the last. */
  steps = 0;
  /** Ready steps, longest waiting first; the front ones are the first to fail when no machine fits. */
  readonly ready = new Set<S>();
  delayed = 0;
  running = 0;
  /** Since when no machine fits. */
  unsupportedSince: number | undefined;
  unsupportedTimer: Timer | undefined;

  constructor(
    readonly key: string,
    readonly system: string,
    /** Sorted, without duplicates. */
    readonly features: readonly string[],
    readonly preferLocal: boolean,
  ) {
    this.featureSet = new Set(features);
  }
}
