/** Machines of the simulated farm, and what they build and have built. */
import type {
  ApiAttempt,
  ApiMachine,
  ApiMachineDetail,
  ApiMachineState,
  ApiRunningStep,
} from "../../../lib/status/api/types.js";
import { chance, drvOf, type FarmFacts, hour, minute, nameOf, pick, systems } from "./facts.js";

function machineAt(farm: FarmFacts, index: number): ApiMachine {
  const now = farm.now();
  const system = pick(systems, index % 5 === 4 ? 2 : index % 4 === 3 ? 1 : 0);
  const slots = [8, 16, 4, 32][index % 4] as number;
  const name = `${system.includes("darwin") ? "mac" : system.startsWith("aarch64") ? "arm" : "build"}-${String(index + 1).padStart(3, "0")}`;
  const busy = farm.state === "idle" ? 0 : farm.state === "broken" ? 0.4 : 1;
  const kind = index % 23;
  const [state, words, until]: readonly [ApiMachineState, string, number | null] = farm.drained.has(name)
    ? ["draining", "draining: takes no new steps", null]
    : farm.state === "idle"
      ? ["idle", "idle for 42 min", null]
      : kind === 5
        ? ["held", "held: 3 connection losses in 10 min", now + 7 * minute]
        : kind === 9
          ? ["limited", "memory pressure 38.2 % is over its limit of 30 %", null]
          : kind === 13
            ? ["idle", "idle for 3 min", null]
            : kind === 17
              ? ["building", `building, ${slots - 2} of ${slots} slots`, null]
              : ["full", `full: ${slots} of ${slots} slots`, null];
  const jobs =
    state === "full"
      ? slots
      : state === "building"
        ? slots - 2
        : state === "limited"
          ? Math.ceil(slots / 2)
          : 0;
  const load = busy * jobs * (0.7 + chance(index) * 0.5);
  return {
    id: `00000000-0000-4000-8000-${String(index).padStart(12, "0")}`,
    name,
    state,
    words,
    until,
    systems: system === "x86_64-linux" ? [system, "i686-linux"] : [system],
    features: index % 3 === 0 ? ["kvm", "nixos-test", "big-parallel", "benchmark"] : ["big-parallel"],
    mandatoryFeatures: [],
    jobs,
    slots,
    speedFactor: 1 + (index % 3),
    cpuCount: slots * 2,
    load1: load,
    cpuPressure: busy * 30 * chance(index + 3),
    memoryPressure: kind === 9 ? 38.2 : busy * 6 * chance(index + 5),
    ioPressure: system.includes("darwin") ? null : busy * 12 * chance(index + 7),
    memoryUsed: (0.1 + 0.7 * busy * chance(index + 1)) * slots * 4 * 2 ** 30,
    memoryTotal: slots * 4 * 2 ** 30,
    storeFree: 20 + 70 * chance(index + 11),
    buildDirFree: 50 + 40 * chance(index + 13),
    joinedAt: now - 31 * hour - index * minute,
    lastPing: now - 1000 - (index % 9) * 1000,
    idleSince: state === "idle" ? now - 3 * minute : null,
    done: 400 + index * 7,
    failed: index % 11,
    uploads: index % 4 === 0 ? 1 : 0,
  };
}

export function machinesOf(farm: FarmFacts): readonly ApiMachine[] {
  return Array.from({ length: farm.machineCount }, (_, index) => machineAt(farm, index));
}

export function runningSteps(farm: FarmFacts, count = 25): readonly ApiRunningStep[] {
  const now = farm.now();
  const machines = machinesOf(farm).filter(({ jobs }) => jobs > 0);
  if (machines.length === 0) return [];
  return Array.from({ length: Math.min(count, machines.length * 3) }, (_, index) => ({
    drv: drvOf(index),
    name: nameOf(index),
    system: pick(machines, index).systems[0] ?? "",
    build: 41_000 + index,
    try: 1 + (index % 7 === 3 ? 1 : 0),
    machine: pick(machines, index).name,
    phase: index % 9 === 4 ? "sending inputs" : index % 9 === 7 ? "receiving outputs" : "building",
    startedAt: now - 80 * minute + index * 3 * minute,
    usualMs: index % 6 === 5 ? null : (52 + index) * minute,
  }));
}

export function attemptsOf(farm: FarmFacts, count: number, machine?: string): readonly ApiAttempt[] {
  const now = farm.now();
  const machines = machinesOf(farm).slice(0, 40);
  if (machines.length === 0) return [];
  return Array.from({ length: count }, (_, index) => {
    const lasts = (2 + 20 * chance(index)) * minute;
    const startedAt = now - 2 * hour + ((index * 97) % 7200) * 1000;
    const stoppedAt = startedAt + lasts > now ? null : startedAt + lasts;
    const status = stoppedAt === null ? null : index % 13 === 2 ? 1 : 0;
    return {
      drv: drvOf(index),
      name: nameOf(index),
      build: 40_000 + index,
      job: `${nameOf(index)}.x86_64-linux`,
      try: 1,
      machine: machine ?? pick(machines, index).name,
      system: "x86_64-linux",
      startedAt,
      stoppedAt,
      status,
      result: status === null ? "running" : status === 1 ? "failed" : "succeeded",
    };
  });
}

export function machineNamed(farm: FarmFacts, name: string): ApiMachineDetail | undefined {
  const machine = machinesOf(farm).find((one) => one.name === name);
  if (machine === undefined) return undefined;
  return {
    ...machine,
    now: farm.now(),
    nixVersion: "2.28.3",
    peer: "10.0.0.17",
    load5: machine.load1 * 0.9,
    load15: machine.load1 * 0.8,
    running: runningSteps(farm, machine.jobs).map((step) => ({ ...step, machine: name })),
    history: attemptsOf(farm, farm.state === "idle" ? 3 : 60, name).filter(
      ({ stoppedAt }) => stoppedAt !== null,
    ),
    limits: [
      { what: "load", value: machine.load1, limit: machine.cpuCount * 2 },
      { what: "memory pressure, %", value: machine.memoryPressure, limit: 30 },
      { what: "I/O pressure, %", value: machine.ioPressure, limit: 60 },
    ],
  };
}
