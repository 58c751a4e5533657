/** The machines, and which of them can take a step now. */
import { anObject, checkArgument, checkMembers, having } from "../../argument-checks.js";
import type { MachineId } from "../ids.js";
import type { SchedulerOptions } from "../options.js";
import { machineFreeOf, machineOrderOf } from "../policies.js";
import type { Random } from "../random.js";
import type { Timers } from "../timers.js";
import type { ReleaseReason, SchedulerNotice } from "../types.js";
import type { SeenFault, Severity } from "./circuit-breaker.js";
import { isBetter, Machine, MachineClass, machineClassKey } from "./machine.js";
import { diskBlock, machineFree } from "./machine-free.js";
import type { MachineBlock, MachineFree, MachineInfo, MachineOrder } from "./machine-types.js";

/** What the pool reports to the queues. */
export interface MachinePoolHooks {
  /** A class came into being or is about to go. */
  classAdded(cls: MachineClass): void;
  classRemoved(cls: MachineClass): void;
  /** Some queue that found no machine in this class may find one now. */
  opened(cls: MachineClass): void;
  /** A machine was held or released, or a custom rule failed. */
  noticed(notice: SchedulerNotice): void;
}

/** A queue as the pool sees it. */
export interface MatchedQueue {
  readonly bucket: { readonly classes: ReadonlySet<MachineClass> };
  /** Machine that its steps avoid while another one can do them. */
  readonly avoid: MachineId | undefined;
  /** Its steps have failed before, so they prove nothing about a machine on trial. */
  readonly tried: boolean;
}

/** All connected machines, grouped by what they offer. */
export class MachinePool {
  readonly machines = new Map<MachineId, Machine>();
  readonly classes = new Map<string, MachineClass>();
  /** Few, so that a machine that comes or goes does not cost a look at all others. */
  readonly #tripped = new Set<Machine>();
  readonly #hooks: MachinePoolHooks;
  readonly #timers: Timers;
  #order: MachineOrder;
  #free: MachineFree;
  #options: SchedulerOptions;
  #joined = 0;

  constructor(options: SchedulerOptions, timers: Timers, hooks: MachinePoolHooks) {
    checkMembers("MachinePool", options, {
      retry: anObject,
      breaker: anObject,
      deadlines: anObject,
      burst: anObject,
    });
    checkArgument("MachinePool", "argument 'timers'", timers, having("a Timers", ["set", "clear"]));
    checkArgument("MachinePool", "argument 'hooks'", hooks, anObject);
    this.#options = options;
    this.#timers = timers;
    this.#hooks = hooks;
    this.#order = machineOrderOf(options, (notice) => hooks.noticed(notice));
    this.#free = machineFreeOf(options, (notice) => hooks.noticed(notice));
  }

  /** Uses other rules of order and capacity from now on, for machines that have joined, too. */
  setOptions(options: SchedulerOptions, now: number): void {
    this.#options = options;
    this.#order = machineOrderOf(options, (notice) => this.#hooks.noticed(notice));
    this.#free = machineFreeOf(options, (notice) => this.#hooks.noticed(notice));
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
  redescribe(machine: Machine, info: MachineInfo, now: number): void {
    const wasAble = machine.able;
    this.#leave(machine);
    machine.info = info;
    machine.cls = this.#classOf(info);
    machine.cls.machines.add(machine);
    if (wasAble) this.#rejudgeOthers(machine, now);
  }

  /** Forgets a machine and its timers. */
  remove(machine: Machine, now: number): void {
    machine.gone = true;
    this.#tripped.delete(machine);
    const wasAble = machine.able;
    this.#leave(machine);
    this.machines.delete(machine.info.id);
    this.#timers.clear(machine.heartbeat);
    this.#timers.clear(machine.recheck);
    this.#timers.clear(machine.grace);
    if (wasAble) this.#rejudgeOthers(undefined, now);
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
    const { cls } = machine;
    const wasFree = machine.heapIndex >= 0;
    const wasOnTrial = machine.onTrial;
    machine.score = this.#order(machine);
    const needed = this.#judge(machine, now);
    machine.block = this.#blockOf(machine, now);
    this.#noteTripped(machine);

    const isFree = machine.block === undefined;
    if (isFree && wasFree) cls.free.update(machine);
    else if (isFree) cls.free.push(machine);
    else if (wasFree) cls.free.remove(machine);

    const able = (isFree || isBusy(machine.block)) && !machine.onTrial;
    const ableChanged = able !== machine.able;
    if (ableChanged) cls.able += able ? 1 : -1;
    machine.able = able;
    this.#setRecheck(machine);
    this.#announce(machine, needed, now);
    if (ableChanged || (isFree && (!wasFree || wasOnTrial !== machine.onTrial))) this.#hooks.opened(cls);
    if (ableChanged) this.#rejudgeOthers(machine, now);
  }

  /** A fault counts against the machine, which is held when there are too many and others can do what it does. */
  blame(machine: Machine, seen: SeenFault, now: number, random: Random): boolean {
    const severity = severityOf(seen, this.#hasSubstitute(machine));
    const holds = machine.breaker.failed(seen, severity, this.#options.breaker, now, random);
    if (!machine.gone) this.#noteTripped(machine);
    return holds;
  }

  /** The best free machine for the head of a queue. */
  pick(queue: MatchedQueue): Machine | undefined {
    const avoided = this.avoidedMachine(queue);
    let best: Machine | undefined;
    for (const cls of queue.bucket.classes) {
      const candidate = avoided === undefined ? cls.free.peek() : cls.free.peekBeside(avoided);
      if (candidate === undefined || candidate === avoided) continue;
      // Those on trial come last, so there is no other one in this class.
      if (candidate.onTrial && queue.tried) continue;
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

  /**
   * Whether the machine is on trial. A hold that no other machine can make up for ends here (`true`), or is a short one
   * when it is for a lost connection.
   */
  #judge(machine: Machine, now: number): boolean {
    const { breaker } = machine;
    machine.onTrial = false;
    if (!breaker.tripped) return false;
    if (this.#hasSubstitute(machine)) {
      machine.onTrial = !breaker.held(now);
      return false;
    }
    if (breaker.cause === undefined || !isConnection(breaker.cause)) {
      const held = breaker.held(now);
      breaker.succeeded();
      return held;
    }
    const { holdMs, jitterMs } = this.#options.breaker;
    breaker.shorten(now + holdMs + jitterMs);
    return false;
  }

  /** Machines in service can do everything that this one does. */
  #hasSubstitute(machine: Machine): boolean {
    const others: MachineClass[] = [];
    for (const cls of this.classes.values()) {
      if (cls.able > (cls === machine.cls && machine.able ? 1 : 0)) others.push(cls);
    }
    if (others.length === 0) return false;
    return machine.info.systems.every((system) => others.some((cls) => cls.replaces(machine.cls, system)));
  }

  /** Whether the others may be held depends on which machines are in service. */
  #rejudgeOthers(changed: Machine | undefined, now: number): void {
    if (this.#tripped.size === 0) return;
    for (const machine of [...this.#tripped].sort((a, b) => a.order - b.order)) {
      if (machine !== changed && machine.breaker.tripped) this.refresh(machine, now);
    }
  }

  #noteTripped(machine: Machine): void {
    const { tripped } = machine.breaker;
    if (tripped === machine.notedTripped) return;
    machine.notedTripped = tripped;
    if (tripped) this.#tripped.add(machine);
    else this.#tripped.delete(machine);
  }

  #announce(machine: Machine, needed: boolean, now: number): void {
    const { breaker, info } = machine;
    const held = breaker.held(now);
    if (held === machine.saidHeld) return;
    machine.saidHeld = held;
    const who = { machine: info.id, hostname: info.hostname };
    if (!held) {
      const over: ReleaseReason = machine.onTrial ? "trial" : "over";
      const because = needed ? "needed" : breaker.tripped ? over : machine.releasedBy;
      this.#hooks.noticed({ kind: "released", ...who, because });
    } else if (breaker.cause !== undefined) {
      const { heldUntil: until, consecutiveFailures: failures, cause } = breaker;
      this.#hooks.noticed({ kind: "held", ...who, ...cause, until, failures });
    }
  }

  #blockOf(machine: Machine, now: number): MachineBlock | undefined {
    const { breaker, uploads } = machine;
    if (machine.disconnectedUntil !== undefined) {
      return { kind: "disconnected", until: machine.disconnectedUntil };
    }
    if (machine.draining) return { kind: "draining" };
    if (breaker.held(now)) {
      const { heldUntil: until, consecutiveFailures: failures, cause } = breaker;
      return { kind: "held", until, failures, fault: cause?.fault };
    }
    const reason = machine.load?.storeTrouble;
    if (reason !== undefined) return { kind: "storeSilent", reason };
    if (machine.onTrial && machine.jobs > 0) return { kind: "probing" };
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

/** Blocks by a machine's own work, which will end. An own rule is taken for one about work. */
const busyKinds: ReadonlySet<MachineBlock["kind"]> = new Set(["full", "uploads", "burst", "policy"]);

function isBusy(block: MachineBlock | undefined): boolean {
  return block !== undefined && busyKinds.has(block.kind);
}

function isConnection({ fault }: SeenFault): boolean {
  return fault === "connection" || fault === "daemon";
}

/** How serious a fault is. Failing builds prove little, and where only this machine can build it is better than none. */
function severityOf(seen: SeenFault, hasSubstitute: boolean): Severity {
  if (hasSubstitute) return "hold";
  return isConnection(seen) ? "holdBriefly" : "count";
}

function stateOf({ info, jobs, uploads, load, recentJobs, recentUntil, burstLimit }: Machine) {
  return { info, jobs, uploads, load, recentJobs, recentUntil, burstLimit };
}
