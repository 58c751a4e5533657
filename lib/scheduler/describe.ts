/** Descriptions of steps, builds and machines from plain values, with what most callers want where something is left out. */
import { aName, aNumber, checkMembers, optional, someTexts } from "../argument-checks.js";
import { checkBuild, checkMachine, checkStep } from "./check-input.js";
import { buildId, jobsetId, machineId, stepId } from "./ids.js";
import type { MachineInfo } from "./machines/machine-types.js";
import type { NewBuild, NewStep } from "./types.js";

/** A step in plain values; the rest is as in `NewStep`. */
export interface StepDescription extends Partial<Omit<NewStep, "id" | "system" | "inputs">> {
  /** Base name of the derivation. */
  readonly id: string;
  readonly system: string;
  /** Ids of the steps it needs. Default: none. */
  readonly inputs?: readonly string[] | undefined;
}

/** A build in plain values; the rest is as in `NewBuild`. */
export interface BuildDescription extends Partial<Omit<NewBuild, "id" | "jobset" | "step">> {
  readonly id: number;
  /** Id of its jobset. */
  readonly jobset: number;
  /** Id of the step that it is for. */
  readonly step: string;
}

/** A machine in plain values; the rest is as in `MachineInfo`. */
export interface MachineDescription extends Partial<Omit<MachineInfo, "id" | "hostname" | "systems">> {
  readonly hostname: string;
  readonly systems: readonly string[];
  /** Default: the host name. */
  readonly id?: string | undefined;
}

/**
 * A step for `Scheduler.addSteps`. Default: no features and no inputs, named as its id without `.drv`.
 *
 * @throws UsageError that names what is wrong
 */
export function newStep(description: StepDescription): NewStep {
  checkMembers("newStep", description, { id: aName, system: aName, inputs: optional(someTexts) });
  const { id, inputs = [], features = [], name = id.replace(/\.drv$/, ""), ...rest } = description;
  const step = {
    ...rest,
    id: stepId(id),
    name,
    features,
    inputs: inputs.map((input) => ({ id: stepId(input) })),
  };
  checkStep("addSteps", step);
  return step;
}

/**
 * A build for `Scheduler.addBuild`. Default: of usual priority (global 0, local 100), made at time 0.
 *
 * @throws UsageError that names what is wrong
 */
export function newBuild(description: BuildDescription): NewBuild {
  checkMembers("newBuild", description, { id: aNumber, jobset: aNumber, step: aName });
  const { id, jobset, step, globalPriority = 0, localPriority = 100, timestamp = 0, ...rest } = description;
  const named = { id: buildId(id), jobset: jobsetId(jobset), step: stepId(step) };
  const build = { ...rest, ...named, globalPriority, localPriority, timestamp };
  checkBuild("addBuild", build);
  return build;
}

/**
 * A machine for `Scheduler.addMachine`. Default: one job at a time, speed factor 1, one core, no features, and thresholds
 * that never keep it from work.
 *
 * @throws UsageError that names what is wrong
 */
export function newMachine(description: MachineDescription): MachineInfo {
  checkMembers("newMachine", description, { hostname: aName, systems: someTexts, id: optional(aName) });
  const { id = description.hostname, ...rest } = description;
  const machine = {
    supportedFeatures: [],
    mandatoryFeatures: [],
    cpuCount: 1,
    bogomips: 0,
    speedFactor: 1,
    maxJobs: 1,
    buildDirAvailThreshold: 0,
    storeAvailThreshold: 0,
    load1Threshold: Number.POSITIVE_INFINITY,
    cpuPsiThreshold: 100,
    memPsiThreshold: 100,
    ...rest,
    id: machineId(id),
  };
  checkMachine("addMachine", machine);
  return machine;
}
