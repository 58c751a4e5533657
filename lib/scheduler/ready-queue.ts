/**
 * Runnable steps, ordered.
 *
 * ```
 * Bucket        what a machine must offer: (system, feature set, preferLocal)
 *   ReadyQueue  one per machine to avoid, and the usual one that avoids none
 *     QueueGroup  steps of one profile, hence of one global priority and one share used
 *       Step
 * ```
 *
 * Each level is a heap over the heads of the next, so the best step is found in O(1), any change costs O(log n), and
 * a change of a jobset's share moves whole groups instead of steps.
 */
import type { MachineId } from "./ids.js";
import { type HeapItem, IndexedHeap } from "./indexed-heap.js";
import type { MachineClass } from "./machine.js";
import type { Profile } from "./priority-profile.js";
import type { Step } from "./step.js";
import { compareSteps, type StepOrder } from "./step-order.js";
import type { Timer } from "./timers.js";

/** The active order; a setting, so it lives behind one reference. */
export interface OrderHolder {
  order: StepOrder;
}

export class QueueGroup implements HeapItem {
  heapIndex = -1;
  readonly steps: IndexedHeap<Step>;

  constructor(
    readonly queue: ReadyQueue,
    readonly profile: Profile,
    holder: OrderHolder,
  ) {
    this.steps = new IndexedHeap((a, b) => holder.order.inner(a, b) < 0);
  }
}

export class ReadyQueue implements HeapItem {
  /** Place in the heap of queues that may have a free machine; -1 while parked or empty. */
  heapIndex = -1;
  size = 0;
  readonly groups = new Map<Profile, QueueGroup>();
  readonly heap: IndexedHeap<QueueGroup>;
  readonly #holder: OrderHolder;

  constructor(
    readonly bucket: Bucket,
    readonly avoid: MachineId | undefined,
    holder: OrderHolder,
  ) {
    this.#holder = holder;
    this.heap = new IndexedHeap((a, b) => headBefore(holder.order, a.steps.peek(), b.steps.peek()));
  }

  get head(): Step | undefined {
    return this.heap.peek()?.steps.peek();
  }

  insert(step: Step): void {
    let group = this.groups.get(step.profile);
    if (group === undefined) {
      group = new QueueGroup(this, step.profile, this.#holder);
      this.groups.set(step.profile, group);
      step.profile.groups.add(group);
      group.steps.push(step);
      this.heap.push(group);
    } else {
      group.steps.push(step);
      if (step.heapIndex === 0) this.heap.update(group);
    }
    step.queue = this;
    step.group = group;
    this.size++;
  }

  remove(step: Step): void {
    const { group } = step;
    if (group === undefined) return;
    const wasHead = step.heapIndex === 0;
    group.steps.remove(step);
    step.queue = undefined;
    step.group = undefined;
    this.size--;
    if (group.steps.size === 0) {
      this.heap.remove(group);
      this.groups.delete(group.profile);
      group.profile.groups.delete(group);
    } else if (wasHead) {
      this.heap.update(group);
    }
  }

  /** After the order of steps changed altogether. */
  rebuild(): void {
    for (const group of this.groups.values()) group.steps.rebuild();
    this.heap.rebuild();
  }
}

/** Heads of non-empty groups and queues always exist; an absent one goes last. */
export function headBefore(order: StepOrder, a: Step | undefined, b: Step | undefined): boolean {
  if (a === undefined) return false;
  return b === undefined || compareSteps(order, a, b) < 0;
}

export class Bucket {
  readonly featureSet: ReadonlySet<string>;
  /** Machine classes that fit; empty = unsupported. */
  readonly classes = new Set<MachineClass>();
  readonly queues = new Map<MachineId | undefined, ReadyQueue>();
  /** Steps that name this bucket; it is dropped with the last. */
  steps = 0;
  /** Ready steps, longest waiting first; the front ones are the first to fail when no machine fits. */
  readonly ready = new Set<Step>();
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
