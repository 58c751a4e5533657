/** What the scheduler knows of a machine, and why it may refuse work. */
import type { MachineId } from "../ids.js";
import type { MachineFault } from "./machine-fault.js";

/** From the join message. Percentages are 0–100. */
export interface MachineInfo {
  readonly id: MachineId;
  readonly hostname: string;
  readonly systems: readonly string[];
  readonly supportedFeatures: readonly string[];
  /** Only steps that require all of these are taken. They are not implicitly supported. */
  readonly mandatoryFeatures: readonly string[];
  readonly cpuCount: number;
  readonly bogomips: number;
  readonly speedFactor: number;
  readonly maxJobs: number;
  readonly buildDirAvailThreshold: number;
  readonly storeAvailThreshold: number;
  readonly load1Threshold: number;
  readonly cpuPsiThreshold: number;
  readonly memPsiThreshold: number;
  readonly ioPsiThreshold?: number | undefined;
}

/** Pressure stall averages over 10 s, percent; a member is absent when the kernel does not report it. */
export interface MachinePressure {
  readonly cpuSomeAvg10?: number | undefined;
  readonly memFullAvg10?: number | undefined;
  readonly ioFullAvg10?: number | undefined;
}

/** From a ping. A ping without pressure keeps the one known before. */
export interface MachineLoad {
  readonly load1: number;
  readonly buildDirFreePercent: number;
  readonly storeFreePercent: number;
  readonly pressure?: MachinePressure | undefined;
  /** What is wrong with its store, in its builder's words: without it no build can begin there. Undefined: nothing. */
  readonly storeTrouble?: string | undefined;
}

/** What order and free functions look at. */
export interface MachineState {
  readonly info: MachineInfo;
  /** Builds that hold a slot now, attempts not yet acknowledged included. */
  readonly jobs: number;
  /** Attempts whose build ended and whose outputs are still being uploaded. */
  readonly uploads: number;
  /** Undefined before the first ping. */
  readonly load: MachineLoad | undefined;
  /** Attempts started within the burst window that still run; for the burst guard. */
  readonly recentJobs: number;
  /** When the oldest of `recentJobs` stops counting. */
  readonly recentUntil: number;
  readonly burstLimit: number;
}

/** Why a machine that fits a step does not take it now. */
export type MachineBlock =
  | { readonly kind: "full"; readonly jobs: number; readonly maxJobs: number }
  | { readonly kind: "uploads"; readonly uploads: number; readonly limit: number }
  | {
      readonly kind: "threshold";
      readonly what: MachineThreshold;
      readonly value: number;
      readonly limit: number;
    }
  /** A threshold is set, but the machine has not sent a ping yet. */
  | { readonly kind: "noPing" }
  | { readonly kind: "burst"; readonly until: number }
  | {
      readonly kind: "held";
      readonly until: number;
      readonly failures: number;
      /** Of the failure that led to it. */
      readonly fault?: MachineFault | undefined;
    }
  /** On trial after a hold: one job at a time, of steps that have not failed before, until one works. */
  | { readonly kind: "probing" }
  | { readonly kind: "draining" }
  /** Its store does not answer its builder: it gets no work until it does. */
  | { readonly kind: "storeSilent"; readonly reason: string }
  | { readonly kind: "disconnected"; readonly until: number }
  /** A rule of the operator's own says that it has no room. */
  | { readonly kind: "policy" }
  /** The step's last try failed there and another machine can do it. */
  | { readonly kind: "avoided" };

/** Which threshold a machine exceeds or falls short of. */
export type MachineThreshold = "buildDir" | "store" | "load1" | "cpuPressure" | "memPressure" | "ioPressure";

/** Higher is better; called again at each assignment, `jobs` included. With `jobs` 0 it is the score shown in the status. */
export type MachineOrder = (machine: MachineState) => number;

/** Undefined when the machine has capacity. */
export type MachineFree = (machine: MachineState) => MachineBlock | undefined;

/** An own rule instead: why the machine has no capacity, undefined when it has some; or just whether it has some. */
export type MachineFreeRule = (machine: MachineState) => MachineBlock | undefined | boolean;

/** Names of `machine-order.ts`, as in the configuration. */
export type MachineOrderName = "SpeedFactorOnly" | "CpuCoreCountWithSpeedFactor" | "BogomipsWithSpeedFactor";
/** Names of `machine-free.ts`, as in the configuration. */
export type MachineFreeName = "Static" | "Dynamic" | "DynamicWithMaxJobLimit";
