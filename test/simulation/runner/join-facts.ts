/** What simulated machines say of themselves. */
import type { BuilderJoin } from "../../../lib/rpc/index.js";
import type { SeededRandom } from "../../../lib/testing/simulated/seeded-random.js";

/** `able`: it can build everything. */
export function joinFacts(number: number, able: boolean, random: SeededRandom): Omit<BuilderJoin, "running"> {
  const all = ["x86_64-linux", "aarch64-linux"];
  return {
    machineId: `00000000-0000-4000-8000-${String(number).padStart(12, "0")}`,
    systems: able || random.chance(0.4) ? all : [random.pick(all)],
    hostname: `host${number}`,
    cpuCount: 4,
    bogomips: 4000,
    speedFactor: 1,
    maxJobs: random.int(1, 3),
    buildDirAvailThreshold: 0,
    storeAvailThreshold: 0,
    load1Threshold: 8,
    cpuPsiThreshold: 75,
    memPsiThreshold: 80,
    ioPsiThreshold: undefined,
    totalMem: 1,
    supportedFeatures: able || random.chance(0.5) ? ["kvm"] : [],
    mandatoryFeatures: [],
    cgroups: false,
    substituters: [],
    useSubstitutes: false,
    nixVersion: "2.30",
  };
}
