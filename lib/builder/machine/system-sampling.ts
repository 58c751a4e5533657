/** The state of this machine: what it is made of (once) and how busy it is (each ping). */

import { readFile, statfs } from "node:fs/promises";
import { availableParallelism, freemem, loadavg, totalmem } from "node:os";
import { join } from "node:path";
import { aText, checkMembers, optional } from "../../argument-checks.js";
import type { PressureState } from "../../rpc/types.js";
import {
  type CpuInfo,
  type PressureTexts,
  parseCpuInfo,
  parseLoadAverage,
  parseMemoryInfo,
  parsePressure,
} from "./proc-formats.js";

/** How busy the machine is at one moment. `load`: averages over 1, 5 and 15 minutes. */
export interface SystemSample {
  readonly load: readonly [number, number, number];
  /** Bytes. */
  readonly memoryUsed: number;
  /** Undefined where the kernel keeps no such figures. */
  readonly pressure: PressureState | undefined;
  /** Percent, 0 to 100; 100 when it is unknown. */
  readonly buildDirFreePercent: number;
  readonly storeFreePercent: number;
}

/** What to look at. */
export interface SampleOptions {
  /** Where builds run. */
  readonly buildDir: string;
  /** The physical store directory. */
  readonly storeDir: string;
  /** Default `/proc`. */
  readonly proc?: string | undefined;
}

async function text(path: string): Promise<string | undefined> {
  return await readFile(path, "utf8").catch(() => undefined);
}

/** Percent of a file system that unprivileged users can still take. */
async function freePercent(directory: string): Promise<number> {
  try {
    const { bavail, blocks } = await statfs(directory);
    return blocks > 0 ? Math.min(100, (bavail / blocks) * 100) : 100;
  } catch {
    return 100;
  }
}

async function samplePressure(proc: string): Promise<PressureState | undefined> {
  const [cpu, memory, io, irq] = await Promise.all(
    ["cpu", "memory", "io", "irq"].map((name) => text(join(proc, "pressure", name))),
  );
  const texts: PressureTexts = { cpu, memory, io, irq };
  return Object.values(texts).every((each) => each === undefined) ? undefined : parsePressure(texts);
}

/**
 * Samples the machine. Never rejects: what cannot be read is replaced by what Node knows, or by the value for
 * "unknown".
 */
export async function sampleSystem(options: SampleOptions): Promise<SystemSample> {
  checkMembers("sampleSystem", options, { buildDir: aText, storeDir: aText, proc: optional(aText) });
  const proc = options.proc ?? "/proc";
  const [loadText, memoryText, pressure, buildDirFreePercent, storeFreePercent] = await Promise.all([
    text(join(proc, "loadavg")),
    text(join(proc, "meminfo")),
    samplePressure(proc),
    freePercent(options.buildDir),
    freePercent(options.storeDir),
  ]);
  const [one = 0, five = 0, fifteen = 0] = loadavg();
  return {
    load: (loadText === undefined ? undefined : parseLoadAverage(loadText)) ?? [one, five, fifteen],
    memoryUsed:
      (memoryText === undefined ? undefined : parseMemoryInfo(memoryText)?.used) ?? totalmem() - freemem(),
    pressure,
    buildDirFreePercent,
    storeFreePercent,
  };
}

/** What does not change while the machine is up. */
export interface MachineFacts extends CpuInfo {
  /** Bytes. */
  readonly totalMemory: number;
}

/** Reads processors and memory from `proc`. Never rejects; where there is no procfs, Node's figures and 0 bogomips. */
export async function readMachineFacts(proc = "/proc"): Promise<MachineFacts> {
  const [cpuText, memoryText] = await Promise.all([text(join(proc, "cpuinfo")), text(join(proc, "meminfo"))]);
  const cpu = cpuText === undefined ? undefined : parseCpuInfo(cpuText);
  return {
    count: cpu !== undefined && cpu.count > 0 ? cpu.count : availableParallelism(),
    bogomips: cpu?.bogomips ?? 0,
    totalMemory: (memoryText === undefined ? undefined : parseMemoryInfo(memoryText)?.total) ?? totalmem(),
  };
}
