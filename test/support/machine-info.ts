import { machineId } from "../../lib/scheduler/ids.js";
import type { MachineInfo } from "../../lib/scheduler/machines/machine-types.js";

/** A machine with one job that takes any step of x86_64-linux, however busy it is. */
export function machineInfo(name: string): MachineInfo {
  return {
    id: machineId(name),
    hostname: name,
    systems: ["x86_64-linux"],
    supportedFeatures: [],
    mandatoryFeatures: [],
    cpuCount: 1,
    bogomips: 1,
    speedFactor: 1,
    maxJobs: 1,
    buildDirAvailThreshold: 0,
    storeAvailThreshold: 0,
    load1Threshold: 1000,
    cpuPsiThreshold: 1000,
    memPsiThreshold: 1000,
  };
}
