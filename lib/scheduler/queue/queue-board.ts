/**
 * All queues, and which of them are worth looking at.
 *
 * A queue whose head finds no machine is *parked*: it leaves the heap of open queues and comes back when a machine
 * that fits its bucket gets capacity. So an assignment looks at open queues only, and no step is looked at at all
 * but the one that is handed out.
 */

import type { MachineClass } from "../machines/machine.js";
import type { Step } from "../step.js";
import { Timer, type TimerContext, type Timers } from "../timers.js";
import type { NewStep } from "../types.js";
import { IndexedHeap } from "./indexed-heap.js";
import type { Jobset } from "./jobset-shares.js";
import { Bucket, laneBefore, type OrderHolder, ReadyQueue } from "./ready-queue.js";

export interface QueueBoardSettings {
  readonly maxUnsupportedMs: number;
}

export class QueueBoard {
  readonly buckets = new Map<string, Bucket>();
  readonly #open: IndexedHeap<ReadyQueue>;
  readonly #bySystem = new Map<string, Set<Bucket>>();
  readonly #classes = new Set<MachineClass>();
  readonly #holder: OrderHolder;
  readonly #timers: Timers;
  readonly #settings: () => QueueBoardSettings;
  readonly #expired: (step: Step, context: TimerContext) => void;
  queueCount = 0;

  constructor(
    holder: OrderHolder,
    timers: Timers,
    settings: () => QueueBoardSettings,
    expired: (step: Step, context: TimerContext) => void,
  ) {
    this.#holder = holder;
    this.#timers = timers;
    this.#settings = settings;
    this.#expired = expired;
    this.#open = new IndexedHeap((a, b) => laneBefore(holder.order, a.heap.peek(), b.heap.peek()));
  }

  /** The bucket of a step to be; counts it in. */
  enter(step: NewStep, now: number): Bucket {
    const features = [...new Set(step.features)].sort();
    const preferLocal = step.preferLocal ?? false;
    const key = JSON.stringify([step.system, features, preferLocal]);
    let bucket = this.buckets.get(key);
    if (bucket === undefined) {
      bucket = new Bucket(key, step.system, features, preferLocal);
      bucket.unsupportedSince = now;
      this.buckets.set(key, bucket);
      const siblings = this.#bySystem.get(step.system);
      if (siblings === undefined) this.#bySystem.set(step.system, new Set([bucket]));
      else siblings.add(bucket);
      for (const cls of this.#classes) if (cls.fits(bucket)) this.#match(cls, bucket);
    }
    bucket.steps++;
    return bucket;
  }

  leave(bucket: Bucket): void {
    if (--bucket.steps > 0) return;
    this.buckets.delete(bucket.key);
    const siblings = this.#bySystem.get(bucket.system);
    siblings?.delete(bucket);
    if (siblings?.size === 0) this.#bySystem.delete(bucket.system);
    for (const cls of bucket.classes) cls.buckets.delete(bucket);
    this.#timers.clear(bucket.unsupportedTimer);
  }

  addClass(cls: MachineClass): void {
    this.#classes.add(cls);
    for (const system of new Set([...cls.systems, "builtin"])) {
      for (const bucket of this.#bySystem.get(system) ?? []) if (cls.fits(bucket)) this.#match(cls, bucket);
    }
  }

  removeClass(cls: MachineClass, now: number): void {
    this.#classes.delete(cls);
    for (const bucket of cls.buckets) {
      bucket.classes.delete(cls);
      if (bucket.classes.size === 0) {
        bucket.unsupportedSince = now;
        this.#armUnsupported(bucket);
      }
    }
  }

  /** Brings back what was parked for lack of a machine of this class. O(buckets that fit the class). */
  unpark(cls: MachineClass): void {
    for (const bucket of cls.buckets) {
      for (const queue of bucket.queues.values()) if (queue.heapIndex < 0) this.#open.push(queue);
    }
  }

  best(): ReadyQueue | undefined {
    return this.#open.peek();
  }

  park(queue: ReadyQueue): void {
    this.#open.remove(queue);
  }

  /** Puts a step that just became ready into its queue. */
  enqueue(step: Step): void {
    step.bucket.ready.add(step);
    this.attach(step);
    if (step.bucket.classes.size === 0 && step.bucket.ready.size === 1) this.#armUnsupported(step.bucket);
  }

  dequeue(step: Step): void {
    step.bucket.ready.delete(step);
    this.detach(step);
  }

  /** Takes a step out only to change its keys. */
  detach(step: Step): void {
    const { queue } = step;
    if (queue === undefined) return;
    queue.remove(step);
    if (queue.size === 0) {
      if (queue.heapIndex >= 0) this.#open.remove(queue);
      queue.bucket.queues.delete(queue.avoid);
      this.queueCount--;
    } else if (queue.heapIndex >= 0) {
      this.#open.update(queue);
    }
  }

  attach(step: Step): void {
    const { bucket, avoid } = step;
    let queue = bucket.queues.get(avoid);
    if (queue === undefined) {
      queue = new ReadyQueue(bucket, avoid, this.#holder);
      bucket.queues.set(avoid, queue);
      this.queueCount++;
      queue.insert(step);
      this.#open.push(queue);
      return;
    }
    queue.insert(step);
    if (queue.heapIndex >= 0) this.#open.update(queue);
  }

  /** Changes the share of some jobsets: their lanes, and the queues of these, are taken out meanwhile. */
  rekey(jobsets: readonly Jobset[], change: () => void): void {
    const queues = new Set<ReadyQueue>();
    for (const { lanes } of jobsets) {
      for (const lane of lanes) if (lane.queue.heapIndex >= 0) queues.add(lane.queue);
    }
    for (const queue of queues) this.#open.remove(queue);
    for (const { lanes } of jobsets) for (const lane of lanes) lane.queue.heap.remove(lane);
    change();
    for (const { lanes } of jobsets) for (const lane of lanes) lane.queue.heap.push(lane);
    for (const queue of queues) this.#open.push(queue);
  }

  /** After the step order or the time for unsupported steps changed. */
  rebuild(): void {
    for (const bucket of this.buckets.values()) {
      for (const queue of bucket.queues.values()) queue.rebuild();
      if (bucket.classes.size === 0) this.#armUnsupported(bucket);
    }
    this.#open.rebuild();
  }

  /** When a ready step of an unsupported bucket fails. */
  failsAt(step: Step): number {
    const since = Math.max(step.readySince, step.bucket.unsupportedSince ?? step.readySince);
    return since + this.#settings().maxUnsupportedMs;
  }

  #match(cls: MachineClass, bucket: Bucket): void {
    cls.buckets.add(bucket);
    bucket.classes.add(cls);
    bucket.unsupportedSince = undefined;
    this.#timers.clear(bucket.unsupportedTimer);
  }

  #armUnsupported(bucket: Bucket): void {
    const [first] = bucket.ready;
    if (first === undefined) return;
    bucket.unsupportedTimer ??= new Timer((context) => this.#failUnsupported(bucket, context));
    this.#timers.set(bucket.unsupportedTimer, this.failsAt(first));
  }

  #failUnsupported(bucket: Bucket, context: TimerContext): void {
    if (bucket.classes.size > 0) return;
    const due: Step[] = [];
    for (const step of bucket.ready) {
      if (this.failsAt(step) > context.now) break;
      due.push(step);
    }
    for (const step of due) if (bucket.ready.has(step)) this.#expired(step, context);
    if (bucket.steps > 0) this.#armUnsupported(bucket);
  }
}
