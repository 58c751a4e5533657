/**
 * Runnable steps, ordered.
 *
 * ```
 * Bucket        what a machine must offer: (system, feature set, preferLocal)
 *   ReadyQueue  one per machine to avoid, and the usual one that avoids none
 *     Lane        one per jobset: its runnable steps, best first
 *       Step
 * ```
 *
 * Each level is a heap over the heads of the next, so the best step is found in O(1) and any change costs O(log n).
 * A step of several jobsets stands in the lane of each. Within a lane the share used is the same for all, so the
 * lane's own share may be used for its head: the step that is best of all heads the lane of its jobset with the
 * lowest share, and in any other lane it only looks worse than it is. So a change of a jobset's share moves its lanes,
 * however many steps and sets of jobsets there are.
 */
import type { MachineId } from "../ids.js";
import type { MachineClass } from "../machines/machine.js";
import type { Step } from "../step.js";
import type { Timer } from "../timers.js";
import { type HeapItem, IndexedHeap } from "./indexed-heap.js";
import type { Jobset } from "./jobset-shares.js";
import { compareInLane, type StepOrder } from "./step-order.js";

/** The active order; a setting, so it lives behind one reference. */
export interface OrderHolder {
  order: StepOrder;
}

/** A step's place in one lane. */
export class LaneEntry implements HeapItem {
  heapIndex = -1;

  constructor(
    readonly step: Step,
    readonly lane: Lane,
  ) {}
}

export class Lane implements HeapItem {
  heapIndex = -1;
  readonly entries: IndexedHeap<LaneEntry>;

  constructor(
    readonly queue: ReadyQueue,
    readonly jobset: Jobset,
    holder: OrderHolder,
  ) {
    this.entries = new IndexedHeap((a, b) => compareInLane(holder.order, a.step, b.step) < 0);
  }

  get head(): Step | undefined {
    return this.entries.peek()?.step;
  }
}

export class ReadyQueue implements HeapItem {
  /** Place in the heap of queues that may have a free machine; -1 while parked or empty. */
  heapIndex = -1;
  size = 0;
  readonly lanes = new Map<Jobset, Lane>();
  readonly heap: IndexedHeap<Lane>;
  readonly #holder: OrderHolder;

  constructor(
    readonly bucket: Bucket,
    readonly avoid: MachineId | undefined,
    holder: OrderHolder,
  ) {
    this.#holder = holder;
    this.heap = new IndexedHeap((a, b) => laneBefore(holder.order, a, b));
  }

  get head(): Step | undefined {
    return this.heap.peek()?.head;
  }

  insert(step: Step): void {
    const entries: LaneEntry[] = [];
    for (const jobset of step.keys.jobsets.jobsets) {
      let lane = this.lanes.get(jobset);
      if (lane === undefined) {
        lane = new Lane(this, jobset, this.#holder);
        this.lanes.set(jobset, lane);
        jobset.lanes.add(lane);
      }
      const entry = new LaneEntry(step, lane);
      entries.push(entry);
      lane.entries.push(entry);
      if (lane.heapIndex < 0) this.heap.push(lane);
      else if (entry.heapIndex === 0) this.heap.update(lane);
    }
    step.queue = this;
    step.entries = entries;
    this.size++;
  }

  remove(step: Step): void {
    for (const entry of step.entries) {
      const { lane } = entry;
      const wasHead = entry.heapIndex === 0;
      lane.entries.remove(entry);
      if (lane.entries.size === 0) {
        this.heap.remove(lane);
        this.lanes.delete(lane.jobset);
        lane.jobset.lanes.delete(lane);
      } else if (wasHead) {
        this.heap.update(lane);
      }
    }
    step.queue = undefined;
    step.entries = [];
    this.size--;
  }

  /** After the order of steps changed altogether. */
  rebuild(): void {
    for (const lane of this.lanes.values()) lane.entries.rebuild();
    this.heap.rebuild();
  }
}

/** Heads of non-empty lanes and queues always exist; an absent one goes last. */
export function laneBefore(order: StepOrder, a: Lane | undefined, b: Lane | undefined): boolean {
  const first = a?.head;
  const second = b?.head;
  if (a === undefined || first === undefined) return false;
  if (b === undefined || second === undefined) return true;
  const { globalPriority } = first.keys;
  const other = second.keys.globalPriority;
  if (globalPriority !== other) return globalPriority > other;
  if (a.jobset.shareUsed !== b.jobset.shareUsed) return a.jobset.shareUsed < b.jobset.shareUsed;
  return order.inner(first, second) < 0;
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
