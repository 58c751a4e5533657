/** Whether a machine has room for another step, by its job limit or by the load it reports. */
import { checkedMachine } from "./checked-machine.js";
import type {
  MachineBlock,
  MachineFree,
  MachineFreeName,
  MachineState,
  MachineThreshold,
} from "./machine-types.js";

/** Fewer jobs than `maxJobs`. */
export const staticFree: MachineFree = (machine) => {
  const { info, jobs } = checkedMachine("staticFree", machine);
  return jobs < info.maxJobs ? undefined : { kind: "full", jobs, maxJobs: info.maxJobs };
};

/**
 * Pressure below the machine's thresholds, or load where the kernel reports no CPU pressure; and not too many recent
 * attempts, because the figures lag behind what was just started.
 */
export const dynamicFree: MachineFree = (machine) => {
  const { info, load } = checkedMachine("dynamicFree", machine);
  if (load !== undefined) {
    const { cpuSomeAvg10, memFullAvg10, ioFullAvg10 } = load.pressure ?? {};
    const over =
      cpuSomeAvg10 === undefined
        ? exceeds("load1", load.load1, info.load1Threshold)
        : (exceeds("cpuPressure", cpuSomeAvg10, info.cpuPsiThreshold) ??
          exceeds("memPressure", memFullAvg10, info.memPsiThreshold) ??
          exceeds("ioPressure", ioFullAvg10, info.ioPsiThreshold));
    if (over !== undefined) return over;
  }
  return machine.recentJobs >= machine.burstLimit ? { kind: "burst", until: machine.recentUntil } : undefined;
};

/** Both of the above. */
export const dynamicWithMaxJobLimit: MachineFree = (machine) => staticFree(machine) ?? dynamicFree(machine);

/** The function of that name, or the given one. */
export function machineFree(free: MachineFreeName | MachineFree): MachineFree {
  switch (free) {
    case "Static":
      return staticFree;
    case "Dynamic":
      return dynamicFree;
    case "DynamicWithMaxJobLimit":
      return dynamicWithMaxJobLimit;
    default:
      return free;
  }
}

/** Disk space; asked before any free function. */
export function diskBlock({ info, load }: MachineState): MachineBlock | undefined {
  if (load === undefined) {
    return info.buildDirAvailThreshold > 0 || info.storeAvailThreshold > 0 ? { kind: "noPing" } : undefined;
  }
  return (
    fallsShort("buildDir", load.buildDirFreePercent, info.buildDirAvailThreshold) ??
    fallsShort("store", load.storeFreePercent, info.storeAvailThreshold)
  );
}

function exceeds(
  what: MachineThreshold,
  value: number | undefined,
  limit: number | undefined,
): MachineBlock | undefined {
  return value !== undefined && limit !== undefined && value > limit
    ? { kind: "threshold", what, value, limit }
    : undefined;
}

function fallsShort(what: MachineThreshold, value: number, limit: number): MachineBlock | undefined {
  return value < limit ? { kind: "threshold", what, value, limit } : undefined;
}
