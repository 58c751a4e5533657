/** Texts that the Linux kernel gives about the machine. What is not understood is `undefined`, never a guess. */
import type { Pressure, PressureState } from "../../rpc/types.js";

/** `/proc/loadavg`: the averages over 1, 5 and 15 minutes. */
export function parseLoadAverage(text: string): readonly [number, number, number] | undefined {
  const [one, five, fifteen] = text.trim().split(/\s+/).map(Number);
  const usable = (value: number | undefined): value is number =>
    value !== undefined && Number.isFinite(value) && value >= 0;
  return usable(one) && usable(five) && usable(fifteen) ? [one, five, fifteen] : undefined;
}

/** Memory of the machine. */
export interface MemoryInfo {
  /** Bytes. */
  readonly total: number;
  /** Bytes in use; all of them where the kernel does not say what is available. */
  readonly used: number;
}

/** `/proc/meminfo`. */
export function parseMemoryInfo(text: string): MemoryInfo | undefined {
  const kilobytes = (key: string): number | undefined => {
    const found = new RegExp(`^${key}:\\s+(\\d{1,13}) kB$`, "m").exec(text)?.[1];
    return found === undefined ? undefined : Number(found) * 1024;
  };
  const total = kilobytes("MemTotal");
  if (total === undefined) return undefined;
  return { total, used: Math.max(0, total - (kilobytes("MemAvailable") ?? 0)) };
}

/** Processors of the machine: `count` logical ones, and the kernel's measure of the speed of each. */
export interface CpuInfo {
  readonly count: number;
  /** 0 unless all processors have the same. */
  readonly bogomips: number;
}

/**
 * `/proc/cpuinfo`. The key is spelled `BogoMIPS` on ARM; the reference does not read that spelling, and machines are
 * ranked by this number against ones that report 0, so neither do we.
 */
export function parseCpuInfo(text: string): CpuInfo {
  let count = 0;
  const values: number[] = [];
  for (const line of text.split("\n")) {
    const separator = line.indexOf(":");
    if (separator < 0) continue;
    const key = line.slice(0, separator).trim();
    if (key === "processor") count++;
    else if (key === "bogomips") values.push(Number(line.slice(separator + 1)));
  }
  const [first] = values;
  const same = first !== undefined && values.length === count && values.every((value) => value === first);
  return { count, bogomips: same && Number.isFinite(first) && first >= 0 ? first : 0 };
}

/** One line of a file of `/proc/pressure`, e.g. `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`. */
export function parsePressureLine(text: string, kind: "some" | "full"): Pressure | undefined {
  for (const line of text.split("\n")) {
    const [word, ...fields] = line.trim().split(/\s+/);
    if (word !== kind) continue;
    const values = new Map<string, number>();
    for (const field of fields) {
      const at = field.indexOf("=");
      const value = Number(field.slice(at + 1));
      if (at > 0 && field.length > at + 1 && Number.isFinite(value) && value >= 0) {
        values.set(field.slice(0, at), value);
      }
    }
    const [avg10, avg60, avg300, total] = ["avg10", "avg60", "avg300", "total"].map((key) => values.get(key));
    if (avg10 === undefined || avg60 === undefined || avg300 === undefined || total === undefined)
      return undefined;
    return { avg10, avg60, avg300, total };
  }
  return undefined;
}

/** The texts of `/proc/pressure/{cpu,memory,io,irq}`; one that could not be read is undefined. */
export interface PressureTexts {
  readonly cpu: string | undefined;
  readonly memory: string | undefined;
  readonly io: string | undefined;
  readonly irq: string | undefined;
}

/** Kernels lack some of the files or lines; what is there is taken. */
export function parsePressure(texts: PressureTexts): PressureState {
  const line = (text: string | undefined, kind: "some" | "full"): Pressure | undefined =>
    text === undefined ? undefined : parsePressureLine(text, kind);
  return {
    cpuSome: line(texts.cpu, "some"),
    memSome: line(texts.memory, "some"),
    memFull: line(texts.memory, "full"),
    ioSome: line(texts.io, "some"),
    ioFull: line(texts.io, "full"),
    irqFull: line(texts.irq, "full"),
  };
}
