/** Machines and their classes: machines that offer the same are matched with queues once, as one. */

import type { AttemptId } from "../ids.js";
import { type HeapItem, IndexedHeap } from "../indexed-heap.js";
import type { Timer } from "../timers.js";
import { CircuitBreaker } from "./circuit-breaker.js";
import type { MachineBlock, MachineInfo, MachineLoad, MachineState } from "./machine-types.js";

/** What a step asks of a machine. */
export interface Requirements {
  /** `builtin` runs anywhere. */
  readonly system: string;
  readonly features: readonly string[];
  readonly featureSet: ReadonlySet<string>;
  readonly preferLocal: boolean;
}

/** An attempt, as far as the burst guard looks at it. */
export interface StartedJob {
  readonly startedAt: number;
}

/** A connected machine: what it reported about itself, its work, and its results. */
export class Machine implements MachineState, HeapItem {
  /** Place among the free machines of its class; -1 while it takes no work. */
  heapIndex = -1;
  jobs = 0;
  uploads = 0;
  load: MachineLoad | undefined;
  readonly attempts = new Set<AttemptId>();
  /** Attempts assigned within the burst window that still run, oldest first. */
  recent: StartedJob[] = [];
  recentUntil = 0;
  burstLimit = 0;
  draining = false;
  /** Out of the pool; attempts may still be ending. */
  gone = false;
  disconnectedUntil: number | undefined;
  breaker = new CircuitBreaker();
  /** Whether the pool knows that its breaker is tripped. */
  notedTripped = false;
  /** Held, as it was said last. */
  saidHeld = false;
  /** Why its breaker was closed the last time. */
  releasedBy: "worked" | "acquitted" = "worked";
  /** After a hold: one job at a time, of steps that have not failed before. */
  onTrial = false;
  lastSeen: number;
  lastPing = 0;
  idleSince: number;
  stepsDone = 0;
  succeeded = 0;
  failed = 0;
  /** Results of the last `MachinePool.refresh`. */
  score = 0;
  block: MachineBlock | undefined = { kind: "noPing" };
  /** In service: has capacity or will have it as soon as its own work ends, and is not on trial. */
  able = false;
  heartbeat: Timer | undefined;
  recheck: Timer | undefined;
  grace: Timer | undefined;

  constructor(
    public info: MachineInfo,
    public cls: MachineClass,
    readonly joinedAt: number,
    readonly order: number,
  ) {
    this.lastSeen = joinedAt;
    this.idleSince = joinedAt;
  }

  get recentJobs(): number {
    return this.recent.length;
  }
}

/** The order among free machines: those on trial last. */
export function isBetter(a: Machine, b: Machine): boolean {
  if (a.onTrial !== b.onTrial) return b.onTrial;
  return a.score > b.score || (a.score === b.score && (a.jobs - b.jobs || a.order - b.order) < 0);
}

/** Machines that offer the same. */
export class MachineClass {
  readonly systems: ReadonlySet<string>;
  readonly supported: ReadonlySet<string>;
  readonly machines = new Set<Machine>();
  /** Machines with capacity, the best first. */
  readonly free = new IndexedHeap<Machine>(isBetter);
  /** Machines in service; see {@link Machine.able}. */
  able = 0;

  constructor(
    readonly key: string,
    readonly info: Pick<MachineInfo, "systems" | "supportedFeatures" | "mandatoryFeatures">,
  ) {
    this.systems = new Set(info.systems);
    this.supported = new Set(info.supportedFeatures);
  }

  /** Takes every step of `system` that machines of the other class take. */
  replaces(other: MachineClass, system: string): boolean {
    if (!this.systems.has(system)) return false;
    for (const feature of other.supported) if (!this.supported.has(feature)) return false;
    return this.info.mandatoryFeatures.every((feature) => other.info.mandatoryFeatures.includes(feature));
  }

  /**
   * Every mandatory feature is asked for and every feature asked for is supported. `preferLocal` counts as asking
   * for `local`, so that a machine with that mandatory feature takes nothing else.
   */
  fits(step: Requirements): boolean {
    if (step.system !== "builtin" && !this.systems.has(step.system)) return false;
    for (const feature of this.info.mandatoryFeatures) {
      if (!step.featureSet.has(feature) && !(feature === "local" && step.preferLocal)) return false;
    }
    return step.features.every((feature) => this.supported.has(feature));
  }
}

/** Equal for machines with the same systems and features, whatever their order. */
export function machineClassKey(info: MachineInfo): string {
  const lists = [info.systems, info.supportedFeatures, info.mandatoryFeatures];
  return JSON.stringify(lists.map((list) => [...new Set(list)].sort()));
}
