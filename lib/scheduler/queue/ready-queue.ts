/**
 * Runnable steps, ordered.
 *
 * ```
 * Bucket        what a machine must offer: (system, feature set, preferLocal)
 *   ReadyQueue  one for steps that have not failed yet, and for the others one per machine to avoid
 *     Priority    steps with the same global priority
 *       Step        in a tree by the keys after the share
 * ```
 *
 * The share used stands between those keys, and changes with every start and end of a step. So it is not a key of any
 * tree: the queue finds the jobsets that have had least among those with steps of the highest global priority, and
 * then the first step of any of them. A change of shares moves no step, however many jobsets the steps have.
 */
import type { MachineId } from "../ids.js";
import { type HeapItem, IndexedHeap } from "../indexed-heap.js";
import type { MachineClass } from "../machines/machine.js";
import type { Timer } from "../timers.js";
import { equalMasks, type JobsetMask, noJobsets } from "./jobset-mask.js";
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

/** The steps of a queue with one global priority; all of the queue where a custom order decides alone. */
class Priority<S extends QueuedStep<S>> implements HeapItem {
  /** Place among the priorities of the queue. */
  heapIndex = -1;

  constructor(
    readonly globalPriority: number,
    readonly steps: RankedTree<S>,
  ) {}
}

/** Steps that need the same of a machine and avoid the same machine. */
export class ReadyQueue<S extends QueuedStep<S>> implements HeapItem {
  /** Place in the heap of queues that may have a free machine; -1 while parked or empty. */
  heapIndex = -1;
  size = 0;
  readonly #holder: OrderHolder;
  readonly #shares: JobsetShares;
  /** None of them is empty. */
  readonly #priorities = new Map<number, Priority<S>>();
  readonly #highest = new IndexedHeap<Priority<S>>((a, b) => a.globalPriority > b.globalPriority);
  /** The best step and the share it goes with, as of `#version` of the shares; undefined: to be found. */
  #head: S | undefined;
  /** Jobsets with steps of the highest global priority that have had least: the head is the first step of any of them. */
  #lowest = noJobsets;
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
  }

  get head(): S | undefined {
    const highest = this.#highest.peek();
    if (highest === undefined) return undefined;
    if (this.#holder.order.whole) {
      this.#head ??= highest.steps.first;
      return this.#head;
    }
    if (this.#head === undefined || this.#version !== this.#shares.version) {
      const { share, jobsets } = this.#shares.lowestOf(highest.steps.mask);
      if (this.#head === undefined || !equalMasks(jobsets, this.#lowest)) {
        this.#head = highest.steps.firstOf(jobsets);
        this.#lowest = jobsets;
      }
      this.#share = share;
      this.#version = this.#shares.version;
    }
    return this.#head;
  }

  /** Jobsets on whose shares the head depends: those that have a step of the highest global priority. */
  get mask(): JobsetMask {
    return this.#highest.peek()?.steps.mask ?? noJobsets;
  }

  insert(step: S): void {
    const { order } = this.#holder;
    const globalPriority = order.whole ? 0 : step.keys.globalPriority;
    let priority = this.#priorities.get(globalPriority);
    if (priority === undefined) {
      priority = new Priority(globalPriority, new RankedTree(order));
      this.#priorities.set(globalPriority, priority);
      this.#highest.push(priority);
    }
    step.queue = this;
    step.node = priority.steps.insert(step);
    this.size++;
    this.#changed(priority);
  }

  remove(step: S): void {
    const priority = this.#priorities.get(this.#holder.order.whole ? 0 : step.keys.globalPriority);
    if (step.node !== undefined && priority !== undefined) {
      this.#changed(priority);
      priority.steps.remove(step.node);
      if (priority.steps.isEmpty) {
        this.#priorities.delete(priority.globalPriority);
        this.#highest.remove(priority);
      }
    }
    step.queue = undefined;
    step.node = undefined;
    if (step.ordered !== undefined) step.ordered = undefined;
    this.size--;
  }

  /** The head has to be found again, unless it is of a higher priority. */
  #changed(priority: Priority<S>): void {
    if (this.#highest.peek() === priority) this.#head = undefined;
  }

  /** After the order of steps changed altogether. O(n log n). */
  rebuild(): void {
    const steps = this.#highest.values().flatMap((priority) => [...priority.steps]);
    this.#priorities.clear();
    this.#highest.clear();
    this.#head = undefined;
    this.size = 0;
    for (const step of steps) this.insert(step);
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
