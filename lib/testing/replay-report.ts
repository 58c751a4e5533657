/** What a replay found: how long things waited, and how busy the machines were. */
import type { PolicyNotice } from "../scheduler/index.js";

/** How long things waited, milliseconds. All 0 when there were none. */
export interface Waits {
  readonly count: number;
  readonly meanMs: number;
  readonly medianMs: number;
  readonly p95Ms: number;
  readonly longestMs: number;
}

/** What became of a jobset in a replay. */
export interface JobsetReplay {
  /** From the moment a step could run to its start. A step counts for the jobset whose build was queued first. */
  readonly steps: Waits;
  /** From the moment a build was queued to its end. */
  readonly builds: Waits;
}

/** What a machine did in a replay. */
export interface MachineReplay {
  readonly steps: number;
  /** Milliseconds, summed over its slots. */
  readonly busyMs: number;
  /** `busyMs` as a share of its slots over the whole time, 0 to 1. */
  readonly use: number;
}

/** The result of a replay. */
export interface ReplayReport {
  /** Milliseconds from the moment the first build is queued to the end of the last step; 0 without builds. */
  readonly makespanMs: number;
  /** Steps that were carried out. */
  readonly steps: number;
  /** Steps that no machine of the fleet can run, and those that need them; they are left out. */
  readonly unsupported: readonly string[];
  /** By `project:jobset`. */
  readonly jobsets: ReadonlyMap<string, JobsetReplay>;
  /** By host name. */
  readonly machines: ReadonlyMap<string, MachineReplay>;
  /**
   * Own rules that threw or gave no usable answer, and why. The default replaced them from then on, so the report does not
   * tell what they would have done. Usually empty.
   */
  readonly broken: readonly PolicyNotice[];
}

/** Sums up times in milliseconds. */
export function waitsOf(times: number[]): Waits {
  if (times.length === 0) return { count: 0, meanMs: 0, medianMs: 0, p95Ms: 0, longestMs: 0 };
  const sorted = times.toSorted((a, b) => a - b);
  const at = (share: number): number =>
    sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
  const sum = sorted.reduce((total, time) => total + time, 0);
  return {
    count: sorted.length,
    meanMs: sum / sorted.length,
    medianMs: at(0.5),
    p95Ms: at(0.95),
    longestMs: sorted.at(-1) ?? 0,
  };
}
