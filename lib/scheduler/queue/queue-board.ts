/**
 * All queues, and which of them are worth looking at.
 *
 * A queue whose head finds no machine is *parked*: it leaves the heap of open queues and comes back when a machine
 * that fits its bucket gets capacity. So an assignment looks at open queues only, and no step is looked at at all
 * but the one that is assigned.
 */

import { IndexedHeap } from "../indexed-heap.js";
import type { MachineClass } from "../machines/machine.js";
import { Timer, type TimerContext, type Timers } from "../timers.js";
import type { NewStep } from "../types.js";
import { intersects, maskOf } from "./jobset-mask.js";
import type { Jobset, JobsetShares } from "./jobset-shares.js";
import { Bucket, type OrderHolder, type QueuedStep, queueKey, ReadyQueue } from "./ready-queue.js";

/** Settings that the board reads each time. */
export interface QueueBoardSettings {
  readonly maxUnsupportedMs: number;
}

/** All buckets and their queues. */
export class QueueBoard<S extends QueuedStep<S>> {
  readonly buckets = new Map<string, Bucket<S>>();
  readonly #open: IndexedHeap<ReadyQueue<S>>;
  readonly #bySystem = new Map<string, Set<Bucket<S>>>();
  /** The buckets that machines of a class fit. */
  readonly #classes = new Map<MachineClass, Set<Bucket<S>>>();
  readonly #holder: OrderHolder;
  readonly #shares: JobsetShares;
  readonly #timers: Timers;
  readonly #settings: () => QueueBoardSettings;
  readonly #expired: (step: S, context: TimerContext) => void;
  queueCount = 0;

  constructor(
    holder: OrderHolder,
    shares: JobsetShares,
    timers: Timers,
    settings: () => QueueBoardSettings,
    expired: (step: S, context: TimerContext) => void,
  ) {
    this.#holder = holder;
    this.#shares = shares;
    this.#timers = timers;
    this.#settings = settings;
    this.#expired = expired;
    this.#open = new IndexedHeap((a, b) => a.isBefore(b));
  }

  /** The bucket of a step to be; counts it in. */
  enter(step: NewStep, now: number): Bucket<S> {
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
      for (const cls of this.#classes.keys()) if (cls.fits(bucket)) this.#match(cls, bucket);
    }
    bucket.steps++;
    return bucket;
  }

  leave(bucket: Bucket<S>): void {
    if (--bucket.steps > 0) return;
    this.buckets.delete(bucket.key);
    const siblings = this.#bySystem.get(bucket.system);
    siblings?.delete(bucket);
    if (siblings?.size === 0) this.#bySystem.delete(bucket.system);
    for (const cls of bucket.classes) this.#classes.get(cls)?.delete(bucket);
    this.#timers.clear(bucket.unsupportedTimer);
  }

  addClass(cls: MachineClass): void {
    this.#classes.set(cls, new Set());
    for (const system of new Set([...cls.systems, "builtin"])) {
      for (const bucket of this.#bySystem.get(system) ?? []) if (cls.fits(bucket)) this.#match(cls, bucket);
    }
  }

  removeClass(cls: MachineClass, now: number): void {
    const buckets = this.#classes.get(cls) ?? [];
    this.#classes.delete(cls);
    for (const bucket of buckets) {
      bucket.classes.delete(cls);
      if (bucket.classes.size === 0) {
        bucket.unsupportedSince = now;
        this.#armUnsupported(bucket);
      }
    }
  }

  /** Brings back what was parked for lack of a machine of this class. O(buckets that fit the class). */
  unpark(cls: MachineClass): void {
    for (const bucket of this.#classes.get(cls) ?? []) {
      for (const queue of bucket.queues.values()) if (queue.heapIndex < 0) this.#open.push(queue);
    }
  }

  best(): ReadyQueue<S> | undefined {
    return this.#open.peek();
  }

  park(queue: ReadyQueue<S>): void {
    this.#open.remove(queue);
  }

  /** Puts a step that just became ready into its queue. */
  enqueue(step: S): void {
    step.bucket.ready.add(step);
    this.attach(step);
    if (step.bucket.classes.size === 0 && step.bucket.ready.size === 1) this.#armUnsupported(step.bucket);
  }

  dequeue(step: S): void {
    step.bucket.ready.delete(step);
    this.detach(step);
  }

  /** Takes a step out only to change its keys. */
  detach(step: S): void {
    const { queue } = step;
    if (queue === undefined) return;
    queue.remove(step);
    if (queue.size === 0) {
      if (queue.heapIndex >= 0) this.#open.remove(queue);
      queue.bucket.queues.delete(queueKey(queue));
      this.queueCount--;
    } else if (queue.heapIndex >= 0) {
      this.#open.update(queue);
    }
  }

  attach(step: S): void {
    const { bucket, avoid, tried } = step;
    const key = queueKey(step);
    let queue = bucket.queues.get(key);
    if (queue === undefined) {
      queue = new ReadyQueue(bucket, avoid, tried, this.#holder, this.#shares);
      bucket.queues.set(key, queue);
      this.queueCount++;
      queue.insert(step);
      this.#open.push(queue);
      return;
    }
    queue.insert(step);
    if (queue.heapIndex >= 0) this.#open.update(queue);
  }

  /** Changes the share of some jobsets: open queues that have steps of them are taken out meanwhile. */
  rekey(jobsets: readonly Jobset[], change: () => void): void {
    if (this.#open.size < 2 || this.#holder.order.whole) {
      change();
      return;
    }
    const mask = maskOf(jobsets.map((jobset) => jobset.index));
    const queues = this.#open.values().filter((queue) => intersects(queue.mask, mask));
    for (const queue of queues) this.#open.remove(queue);
    change();
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
  failsAt(step: S): number {
    const since = Math.max(step.readySince, step.bucket.unsupportedSince ?? step.readySince);
    return since + this.#settings().maxUnsupportedMs;
  }

  #match(cls: MachineClass, bucket: Bucket<S>): void {
    this.#classes.get(cls)?.add(bucket);
    bucket.classes.add(cls);
    bucket.unsupportedSince = undefined;
    this.#timers.clear(bucket.unsupportedTimer);
  }

  #armUnsupported(bucket: Bucket<S>): void {
    const [first] = bucket.ready;
    if (first === undefined) return;
    bucket.unsupportedTimer ??= new Timer((context) => this.#failUnsupported(bucket, context));
    this.#timers.set(bucket.unsupportedTimer, this.failsAt(first));
  }

  #failUnsupported(bucket: Bucket<S>, context: TimerContext): void {
    if (bucket.classes.size > 0) return;
    const due: S[] = [];
    for (const step of bucket.ready) {
      if (this.failsAt(step) > context.now) break;
      due.push(step);
    }
    for (const step of due) if (bucket.ready.has(step)) this.#expired(step, context);
    if (bucket.steps > 0) this.#armUnsupported(bucket);
  }
}
