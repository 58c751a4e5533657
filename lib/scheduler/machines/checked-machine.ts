/** The machine that a built-in order or rule is asked about, checked cheaply: they are asked for each decision. */
import { isObject } from "../../argument-checks.js";
import { UsageError } from "../../errors.js";
import type { MachineState } from "./machine-types.js";

/** The machine itself. @throws UsageError when it is none */
export function checkedMachine(owner: string, machine: MachineState): MachineState {
  if (isObject(machine) && isObject(machine.info)) return machine;
  throw new UsageError(`${owner}: machine must be a machine of the scheduler, with { info, jobs }`);
}
