/** Machines in words: the list, and one with what it does and did. */
import type { MachineFault, MachineView } from "../../scheduler/index.js";
import { compareText } from "../answers/encoding.js";
import { namedMachines } from "../answers/machine-names.js";
import { blockWords, spanWords } from "../answers/words.js";
import type { MachinePressures, MachineReport, PressureAverages, StatusSource } from "../types.js";
import type { ApiMachine, ApiMachineDetail, ApiMachineState, ApiMachines } from "./types.js";

/** A machine that says nothing for so long is called silent, in milliseconds. */
const silentMs = 60_000;

const faultWords: Readonly<Record<MachineFault, string>> = {
  connection: "its connection was lost",
  daemon: "its Nix daemon does not answer",
  untrusted: "its Nix daemon does not trust the builder",
  diskFull: "its disk is full",
  inputs: "inputs could not be brought to it",
  sandbox: "its sandbox cannot be made",
  falseReport: "it reported other outputs than it was to build",
};

interface StateInWords {
  readonly state: ApiMachineState;
  readonly words: string;
  readonly until: number | null;
}

/** State of a machine with the figure that decides. `now` in milliseconds since the epoch. */
export function machineState(view: MachineView, now: number): StateInWords {
  const { block, jobs } = view;
  const { maxJobs } = view.info;
  const builds = `builds ${jobs} of ${maxJobs}`;
  if (block === undefined) {
    const silence = now - view.lastPing;
    if (view.lastPing > 0 && silence > silentMs) {
      return { state: "silent", words: `no ping for ${spanWords(silence)}`, until: null };
    }
    if (view.onTrial) return { state: "limited", words: `on trial after a hold; ${builds}`, until: null };
    if (jobs > 0) return { state: "building", words: builds, until: null };
    const idle = view.idleSince > 0 ? `idle for ${spanWords(now - view.idleSince)}` : "idle";
    return { state: "idle", words: idle, until: null };
  }
  const words =
    jobs > 0 && block.kind !== "full" ? `${blockWords(block, now)}; ${builds}` : blockWords(block, now);
  switch (block.kind) {
    case "full":
      return { state: "full", words, until: null };
    case "held": {
      const because = block.fault === undefined ? "" : `: ${faultWords[block.fault]}`;
      return { state: "held", words: words + because, until: block.until };
    }
    case "draining":
      return { state: "draining", words, until: null };
    case "disconnected":
      return { state: "disconnected", words, until: block.until };
    case "noPing":
    case "storeSilent":
      return { state: "silent", words, until: null };
    case "burst":
      return { state: "limited", words, until: block.until };
    case "uploads":
    case "threshold":
    case "policy":
    case "probing":
    case "avoided":
      return { state: "limited", words, until: null };
  }
}

function average10(
  pressure: MachinePressures | undefined,
  ...lines: (keyof MachinePressures)[]
): number | null {
  for (const line of lines) {
    const averages: PressureAverages | undefined = pressure?.[line];
    if (averages !== undefined) return averages.avg10;
  }
  return null;
}

/** A row of the list. */
export function machineRow(name: string, machine: MachineReport, now: number): ApiMachine {
  const { view, pressure } = machine;
  const { info, load } = view;
  return {
    id: info.id,
    name,
    ...machineState(view, now),
    systems: info.systems,
    features: info.supportedFeatures,
    mandatoryFeatures: info.mandatoryFeatures,
    jobs: view.jobs,
    slots: info.maxJobs,
    speedFactor: info.speedFactor,
    cpuCount: info.cpuCount,
    load1: machine.load1,
    cpuPressure: average10(pressure, "cpuSome"),
    memoryPressure: average10(pressure, "memFull", "memSome"),
    ioPressure: average10(pressure, "ioFull", "ioSome"),
    memoryUsed: machine.memoryUsedBytes,
    memoryTotal: machine.totalMemoryBytes,
    storeFree: load?.storeFreePercent ?? null,
    buildDirFree: load?.buildDirFreePercent ?? null,
    joinedAt: view.joinedAt,
    lastPing: view.lastPing,
    idleSince: view.idleSince > 0 ? view.idleSince : null,
    done: view.succeeded,
    failed: view.failed,
    uploads: view.uploads,
  };
}

/** `GET /api/machines`, by name. */
export function machineList(source: StatusSource, now: number): ApiMachines {
  const machines = [...namedMachines(source.machines())]
    .map(([name, machine]) => machineRow(name, machine, now))
    .sort((a, b) => compareText(a.name, b.name));
  return { now, machines };
}

/** The machine of that name or id, with its name. */
export function findMachine(
  source: StatusSource,
  text: string,
): readonly [name: string, machine: MachineReport] | undefined {
  const machines = namedMachines(source.machines());
  const named = machines.get(text);
  if (named !== undefined) return [text, named];
  return [...machines].find(([, machine]) => machine.view.info.id === text);
}

/** Limits that its operator set, with what they are compared with. */
export function machineLimits({ view }: MachineReport): ApiMachineDetail["limits"] {
  const { info, load, jobs } = view;
  const pressure = load?.pressure;
  const limits: ApiMachineDetail["limits"][number][] = [{ what: "builds", value: jobs, limit: info.maxJobs }];
  const add = (what: string, value: number | undefined, limit: number | undefined): void => {
    if (limit !== undefined && limit > 0) limits.push({ what, value: value ?? null, limit });
  };
  add("load", load?.load1, info.load1Threshold);
  add("CPU pressure, %", pressure?.cpuSomeAvg10, info.cpuPsiThreshold);
  add("memory pressure, %", pressure?.memFullAvg10, info.memPsiThreshold);
  add("I/O pressure, %", pressure?.ioFullAvg10, info.ioPsiThreshold);
  add("free space for builds, %", load?.buildDirFreePercent, info.buildDirAvailThreshold);
  add("free space in the store, %", load?.storeFreePercent, info.storeAvailThreshold);
  return limits;
}
