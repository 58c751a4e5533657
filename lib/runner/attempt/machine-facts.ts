/**
 * The facts of one machine on their way from its builder to the scheduler: the one place where they change their form.
 *
 * The builder gathers them (`builder/connection/join-info.ts`), `rpc/convert/machine.ts` checks what arrives, and here
 * the scheduler's share is taken from it. The rest of what a builder says is only shown (`service/machine-reports.ts`).
 */
import type { BuilderJoin, BuilderPing, PressureState } from "../../rpc/types.js";
import { machineId } from "../../scheduler/ids.js";
import type { MachineInfo, MachineLoad, MachinePressure } from "../../scheduler/machines/machine-types.js";

/** What the scheduler learns when a machine joins. */
export function machineInfo(join: BuilderJoin): MachineInfo {
  return {
    id: machineId(join.machineId),
    hostname: join.hostname,
    systems: join.systems,
    supportedFeatures: join.supportedFeatures,
    mandatoryFeatures: join.mandatoryFeatures,
    cpuCount: join.cpuCount,
    bogomips: join.bogomips,
    speedFactor: join.speedFactor,
    maxJobs: join.maxJobs,
    buildDirAvailThreshold: join.buildDirAvailThreshold,
    storeAvailThreshold: join.storeAvailThreshold,
    load1Threshold: join.load1Threshold,
    cpuPsiThreshold: join.cpuPsiThreshold,
    memPsiThreshold: join.memPsiThreshold,
    ioPsiThreshold: join.ioPsiThreshold,
  };
}

/** What the scheduler learns from a ping. */
export function machineLoad(ping: BuilderPing): MachineLoad {
  return {
    load1: ping.load1,
    buildDirFreePercent: ping.buildDirFreePercent,
    storeFreePercent: ping.storeFreePercent,
    pressure: ping.pressure && machinePressure(ping.pressure),
  };
}

/** Thresholds are compared with the shortest average only. */
function machinePressure({ cpuSome, memFull, ioFull }: PressureState): MachinePressure {
  return { cpuSomeAvg10: cpuSome?.avg10, memFullAvg10: memFull?.avg10, ioFullAvg10: ioFull?.avg10 };
}
