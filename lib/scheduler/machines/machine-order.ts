/**
 * Which of the machines with capacity gets the next step.
 *
 * Each score is the machine's worth divided by the jobs it would then have, so that work spreads in proportion to
 * what machines are worth instead of filling the best one first.
 */
import { checkedMachine } from "./checked-machine.js";
import type { MachineOrder, MachineOrderName } from "./machine-types.js";

/** Speed factor per job. */
export const speedFactorOnly: MachineOrder = (machine) => {
  const { info, jobs } = checkedMachine("speedFactorOnly", machine);
  return info.speedFactor / (1 + jobs);
};

/** Speed factor times cores, per job. */
export const cpuCoreCountWithSpeedFactor: MachineOrder = (machine) => {
  const { info, jobs } = checkedMachine("cpuCoreCountWithSpeedFactor", machine);
  return (info.speedFactor * info.cpuCount) / (1 + jobs);
};

/** Speed factor times bogomips times cores, per job. */
export const bogomipsWithSpeedFactor: MachineOrder = (machine) => {
  const { info, jobs } = checkedMachine("bogomipsWithSpeedFactor", machine);
  return (info.speedFactor * Math.max(info.bogomips, 1) * info.cpuCount) / (1 + jobs);
};

/** The order of that name, or the given function. */
export function machineOrder(order: MachineOrderName | MachineOrder): MachineOrder {
  switch (order) {
    case "SpeedFactorOnly":
      return speedFactorOnly;
    case "CpuCoreCountWithSpeedFactor":
      return cpuCoreCountWithSpeedFactor;
    case "BogomipsWithSpeedFactor":
      return bogomipsWithSpeedFactor;
    default:
      return order;
  }
}
