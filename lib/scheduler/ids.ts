/** Identities the scheduler speaks in. All are opaque to it; equality is all it needs. */
import { aNumber, aText, checkArgument } from "../argument-checks.js";
import type { Brand } from "../brand.js";

/** Hydra's numeric build id. Lower means older, which decides ties between steps. */
export type BuildId = Brand<number, "BuildId">;
/** Hydra's numeric jobset id. */
export type JobsetId = Brand<number, "JobsetId">;
/** UUID of a connected builder, lower case. */
export type MachineId = Brand<string, "MachineId">;
/** UUID of one attempt: a step assigned to a machine; this is what the wire calls `build_id`. Never used twice. */
export type AttemptId = Brand<string, "AttemptId">;
/** Base name of a derivation (`<hash>-<name>.drv`). */
export type StepId = Brand<string, "StepId">;

/** Brands a number as it is in the database. */
export function buildId(value: number): BuildId {
  checkArgument("buildId", "value", value, aNumber);
  return value as BuildId;
}

/** Brands a number as it is in the database. */
export function jobsetId(value: number): JobsetId {
  checkArgument("jobsetId", "value", value, aNumber);
  return value as JobsetId;
}

/** Brands a UUID; letters become lower case. */
export function machineId(value: string): MachineId {
  checkArgument("machineId", "value", value, aText);
  return value.toLowerCase() as MachineId;
}

/** Brands a UUID; letters become lower case. */
export function attemptId(value: string): AttemptId {
  checkArgument("attemptId", "value", value, aText);
  return value.toLowerCase() as AttemptId;
}

/** Brands the base name of a derivation; not checked. */
export function stepId(value: string): StepId {
  checkArgument("stepId", "value", value, aText);
  return value as StepId;
}
