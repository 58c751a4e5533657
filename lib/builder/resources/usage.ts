/** What a build has used, put together from what several observers saw of it. */
import type { BuildResources } from "../../rpc/types.js";
import type { DiskTraffic } from "./formats.js";

/** CPU time in milliseconds. */
export interface CpuTime {
  readonly userMs: number;
  readonly systemMs: number;
}

/** What one observer knows; absent parts could not be measured. */
export interface Observation {
  readonly cpu?: CpuTime | undefined;
  /** Bytes. */
  readonly peakMemory?: number | undefined;
  readonly traffic?: DiskTraffic | undefined;
}

/** Two looks at the same thing, whose numbers only grow: the larger of each. */
export function atLeast(one: Observation, other: Observation): Observation {
  return {
    cpu: larger(one.cpu, other.cpu, ({ userMs, systemMs }) => userMs + systemMs),
    peakMemory: larger(one.peakMemory, other.peakMemory, (bytes) => bytes),
    traffic:
      one.traffic === undefined || other.traffic === undefined
        ? (one.traffic ?? other.traffic)
        : {
            read: Math.max(one.traffic.read, other.traffic.read),
            written: Math.max(one.traffic.written, other.traffic.written),
          },
  };
}

function larger<T>(one: T | undefined, other: T | undefined, size: (value: T) => number): T | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  return size(one) >= size(other) ? one : other;
}

/** Observers, the most exact first. */
export interface Observers {
  readonly daemon: Observation;
  readonly cgroup: Observation;
  readonly samples: Observation;
}

/** Each number from the most exact observer that has it; `source` is the least exact one used. Undefined: there is none. */
export function combine(observers: Observers): BuildResources | undefined {
  const order = ["daemon", "cgroup", "samples"] as const;
  const by = (part: keyof Observation) => order.find((name) => observers[name][part] !== undefined);
  const sources = { cpu: by("cpu"), peakMemory: by("peakMemory"), traffic: by("traffic") };
  const source = [...order].reverse().find((name) => Object.values(sources).includes(name));
  if (source === undefined) return undefined;
  const cpu = sources.cpu && observers[sources.cpu].cpu;
  const peakMemory = sources.peakMemory && observers[sources.peakMemory].peakMemory;
  const traffic = sources.traffic && observers[sources.traffic].traffic;
  return {
    source,
    ...(cpu === undefined
      ? {}
      : { cpuUserMs: Math.round(cpu.userMs), cpuSystemMs: Math.round(cpu.systemMs) }),
    ...(peakMemory === undefined ? {} : { peakMemoryBytes: peakMemory }),
    ...(traffic === undefined ? {} : { readBytes: traffic.read, writtenBytes: traffic.written }),
  };
}
