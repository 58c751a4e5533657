/** What the kernel reports about this process: procfs and, where there is one, its version 2 control group. */
import { readFileSync } from "node:fs";

import type { Json, JsonObject } from "../answers/shapes.js";

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

function kibibytes(status: string, field: string): number {
  const match = new RegExp(`^${field}:\\s+(\\d+) kB$`, "m").exec(status);
  return Number(match?.[1] ?? 0) * 1024;
}

function fileNumber(path: string): number | undefined {
  const text = readText(path)?.trim();
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined;
}

function sumOf(text: string, field: string): number {
  let sum = 0;
  for (const match of text.matchAll(new RegExp(`\\b${field}=(\\d+)`, "g"))) sum += Number(match[1]);
  return sum;
}

function lineNumber(text: string, field: string): number {
  return Number(new RegExp(`^${field} (\\d+)$`, "m").exec(text)?.[1] ?? 0);
}

/** A file that this kernel lacks counts as 0; only a process outside any group of its own gives `null`. */
function controlGroup(): Json {
  const membership = /^0::(.+)$/m.exec(readText("/proc/self/cgroup") ?? "")?.[1];
  if (membership === undefined) return null;
  const folder = `/sys/fs/cgroup${membership}`;
  const currentBytes = fileNumber(`${folder}/memory.current`);
  if (currentBytes === undefined) return null;
  const io = readText(`${folder}/io.stat`) ?? "";
  const cpu = readText(`${folder}/cpu.stat`) ?? "";
  return {
    memory: {
      currentBytes,
      peakBytes: fileNumber(`${folder}/memory.peak`) ?? 0,
      swapCurrentBytes: fileNumber(`${folder}/memory.swap.current`) ?? 0,
      zswapCurrentBytes: fileNumber(`${folder}/memory.zswap.current`) ?? 0,
    },
    io: { totalReadBytes: sumOf(io, "rbytes"), totalWriteBytes: sumOf(io, "wbytes") },
    cpu: {
      usageUsec: lineNumber(cpu, "usage_usec"),
      userUsec: lineNumber(cpu, "user_usec"),
      systemUsec: lineNumber(cpu, "system_usec"),
    },
  };
}

/** The `proc` member of `/status`; without procfs, what the runtime knows. */
export function processJson(): JsonObject {
  const status = readText("/proc/self/status");
  if (status === undefined) {
    return {
      pid: process.pid,
      vsizeBytes: 0,
      rssBytes: process.memoryUsage.rss(),
      sharedBytes: 0,
      cgroup: null,
    };
  }
  return {
    pid: process.pid,
    vsizeBytes: kibibytes(status, "VmSize"),
    rssBytes: kibibytes(status, "VmRSS"),
    sharedBytes: kibibytes(status, "RssFile") + kibibytes(status, "RssShmem"),
    cgroup: controlGroup(),
  };
}

/** Threads of the operating system; 0 where it does not tell. */
export function threadCount(): number {
  return Number(/^Threads:\s+(\d+)$/m.exec(readText("/proc/self/status") ?? "")?.[1] ?? 0);
}
