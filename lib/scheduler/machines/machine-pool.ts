/** The machines, and which of them can take a step now. */
import type { MachineId } from "../ids.js";
import type { SchedulerOptions } from "../options.js";
import type { Timers } from "../timers.js";
import { Machine, MachineClass, machineClassKey } from "./machine.js";
import { diskBlock, machineFree } from "./machine-free.js";
import { machineOrder } from "./machine-order.js";
import type { MachineBlock, MachineFree, MachineInfo, MachineOrder } from "./machine-types.js";

/** What the pool reports to the queues. */
export interface MachinePoolHooks {
  /** A class came into being or is about to go. */
  classAdded(cls: MachineClass): void;
  classRemoved(cls: MachineClass): void;
  /** Some queue that found no machine in this class may find one now. */
  opened(cls: MachineClass): void;
}

/** A queue as the pool sees it. */
export interface MatchedQueue {
  readonly bucket: { readonly classes: ReadonlySet<MachineClass> };
  /** Machine that its steps avoid while another one can do them. */
  readonly avoid: MachineId | undefined;
}

/** All connected machines, grouped by what they offer. */
export class MachinePool {
  readonly machines = new Map<MachineId, Machine>();
  readonly classes = new Map<string, MachineClass>();
  readonly #hooks: MachinePoolHooks;
  readonly #timers: Timers;
  #order: MachineOrder;
  #free: MachineFree;
  #options: SchedulerOptions;
  #joined = 0;

  constructor(options: SchedulerOptions, timers: Timers, hooks: MachinePoolHooks) {
    this.#options = options;
    this.#order = machineOrder(options.machineOrder);
    this.#free = machineFree(options.machineFree);
    this.#timers = timers;
    this.#hooks = hooks;
  }

  /** Uses other rules of order and capacity from now on, for machines that have joined, too. */
  setOptions(options: SchedulerOptions, now: number): void {
    this.#options = options;
    this.#order = machineOrder(options.machineOrder);
    this.#free = machineFree(options.machineFree);
    for (const machine of this.machines.values()) this.refresh(machine, now);
  }

  /** A new machine, which gets work only after the next `refresh`. */
  add(info: MachineInfo, now: number): Machine {
    const machine = new Machine(info, this.#classOf(info), now, this.#joined++);
    machine.cls.machines.add(machine);
    this.machines.set(info.id, machine);
    return machine;
  }

  /** The machine came back with a new description. */
  redescribe(machine: Machine, info: MachineInfo): void {
    this.#leave(machine);
    machine.info = info;
    machine.cls = this.#classOf(info);
    machine.cls.machines.add(machine);
  }

  /** Forgets a machine and its timers. */
  remove(machine: Machine): void {
    machine.gone = true;
    this.#leave(machine);
    this.machines.delete(machine.info.id);
    this.#timers.clear(machine.heartbeat);
    this.#timers.clear(machine.recheck);
    this.#timers.clear(machine.grace);
  }

  /** Re-scores a machine after anything about it changed. */
  refresh(machine: Machine, now: number): void {
    if (machine.gone) return;
    const { windowMs, jobs: burstLimit } = this.#options.burst;
    let expired = 0;
    while (expired < machine.recent.length && (machine.recent[expired]?.startedAt ?? 0) + windowMs <= now)
      expired++;
    if (expired > 0) machine.recent.splice(0, expired);
    machine.recentUntil = (machine.recent[0]?.startedAt ?? now) + windowMs;
    machine.burstLimit = burstLimit;
    machine.score = this.#order(machine);
    machine.block = this.#blockOf(machine, now);

    const { cls } = machine;
    const wasFree = machine.heapIndex >= 0;
    const isFree = machine.block === undefined;
    if (isFree && wasFree) cls.free.update(machine);
    else if (isFree) cls.free.push(machine);
    else if (wasFree) cls.free.remove(machine);

    const able = isFree || isBusy(machine.block);
    const ableChanged = able !== machine.able;
    if (ableChanged) cls.able += able ? 1 : -1;
    machine.able = able;
    this.#setRecheck(machine);
    if (ableChanged || (isFree && !wasFree)) this.#hooks.opened(cls);
  }

  /** The best free machine for the head of a queue. */
  pick(queue: MatchedQueue): Machine | undefined {
    const avoided = this.avoidedMachine(queue);
    let best: Machine | undefined;
    for (const cls of queue.bucket.classes) {
      const candidate = avoided === undefined ? cls.free.peek() : cls.free.peekBeside(avoided);
      if (candidate === undefined || candidate === avoided) continue;
      if (best === undefined || isBetter(candidate, best)) best = candidate;
    }
    return best;
  }

  /** The machine that this queue must not use, because another one can do its steps. */
  avoidedMachine(queue: MatchedQueue): Machine | undefined {
    if (queue.avoid === undefined) return undefined;
    const machine = this.machines.get(queue.avoid);
    if (machine === undefined || !queue.bucket.classes.has(machine.cls)) return undefined;
    let others = machine.able ? -1 : 0;
    for (const cls of queue.bucket.classes) others += cls.able;
    return others > 0 ? machine : undefined;
  }

  /** The score of a machine as if it were idle, by which machines can be compared in the status. Higher is better. */
  scoreWithoutJobs(machine: Machine): number {
    return this.#order({ ...stateOf(machine), jobs: 0 });
  }

  /** What another free function would say, for the status. */
  would(machine: Machine, name: "Static" | "Dynamic"): boolean {
    return machineFree(name)(machine) === undefined;
  }

  #blockOf(machine: Machine, now: number): MachineBlock | undefined {
    const { breaker, uploads } = machine;
    if (machine.disconnectedUntil !== undefined) {
      return { kind: "disconnected", until: machine.disconnectedUntil };
    }
    if (machine.draining) return { kind: "draining" };
    if (breaker.held(now)) {
      return { kind: "held", until: breaker.heldUntil, failures: breaker.consecutiveFailures };
    }
    if (breaker.probing(now) && machine.jobs > 0) return { kind: "probing" };
    const blocked = diskBlock(machine) ?? this.#free(machine);
    if (blocked !== undefined) return blocked;
    const limit = this.#options.maxConcurrentUploadsPerMachine;
    return limit > 0 && uploads >= limit ? { kind: "uploads", uploads, limit } : undefined;
  }

  #setRecheck(machine: Machine): void {
    const { block, recheck } = machine;
    if (recheck === undefined) return;
    if (block?.kind === "held" || block?.kind === "burst") this.#timers.set(recheck, block.until);
    else this.#timers.clear(recheck);
  }

  #classOf(info: MachineInfo): MachineClass {
    const key = machineClassKey(info);
    let cls = this.classes.get(key);
    if (cls === undefined) {
      cls = new MachineClass(key, info);
      this.classes.set(key, cls);
      this.#hooks.classAdded(cls);
    }
    return cls;
  }

  #leave(machine: Machine): void {
    const { cls } = machine;
    if (machine.heapIndex >= 0) cls.free.remove(machine);
    const wasAble = machine.able;
    if (wasAble) cls.able--;
    machine.able = false;
    cls.machines.delete(machine);
    if (wasAble) this.#hooks.opened(cls);
    if (cls.machines.size === 0) {
      this.classes.delete(cls.key);
      this.#hooks.classRemoved(cls);
    }
  }
}

/** Blocked only by its own work, which will end. */
function isBusy(block: MachineBlock | undefined): boolean {
  return block?.kind === "full" || block?.kind === "uploads" || block?.kind === "burst";
}

function isBetter(a: Machine, b: Machine): boolean {
  return a.score > b.score || (a.score === b.score && (a.jobs - b.jobs || a.order - b.order) < 0);
}

function stateOf({ info, jobs, uploads, load, recentJobs, recentUntil, burstLimit }: Machine) {
  return { info, jobs, uploads, load, recentJobs, recentUntil, burstLimit };
}
