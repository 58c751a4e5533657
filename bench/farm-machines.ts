/** Descriptions of machines for benchmarks. */
import { type MachineInfo, machineId } from "../lib/scheduler/index.js";

/** Machines that differ in nothing. */
export function sameMachines(count: number, maxJobs: number): MachineInfo[] {
  return Array.from({ length: count }, (_, index) => ({
    id: machineId(`m${index}`),
    hostname: `m${index}`,
    systems: ["x86_64-linux"],
    supportedFeatures: [],
    mandatoryFeatures: [],
    cpuCount: 8,
    bogomips: 4000,
    speedFactor: 1,
    maxJobs,
    buildDirAvailThreshold: 0,
    storeAvailThreshold: 0,
    load1Threshold: 1000,
    cpuPsiThreshold: 100,
    memPsiThreshold: 100,
  }));
}
