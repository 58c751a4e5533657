/** What Linux reports about a process and about a control group. Text that is not understood is `undefined`, never a guess. */

/** `/proc/<pid>/stat`, the fields that tell what a process has cost. Times in milliseconds. */
export interface ProcessStat {
  /** Name of the program, cut by the kernel to 15 bytes. */
  readonly name: string;
  readonly parent: number;
  /** When it started, since the machine did. */
  readonly startedMs: number;
  readonly userMs: number;
  readonly systemMs: number;
  /** Of children that have ended and were waited for, with theirs. */
  readonly childUserMs: number;
  readonly childSystemMs: number;
}

/** The kernel counts hundredths of a second for programs, whatever it counts inside: see `times(2)`. */
const tickMs = 10;

/** Columns of `proc(5)`, counted from the state (column 3), since a name may hold blanks and parentheses. */
const column = { parent: 1, user: 11, system: 12, childUser: 13, childSystem: 14, started: 19 } as const;

/** `/proc/<pid>/stat`. */
export function parseProcessStat(text: string): ProcessStat | undefined {
  const [open, close] = [text.indexOf("("), text.lastIndexOf(")")];
  if (open < 0 || close < open) return undefined;
  const fields = text.slice(close + 2).split(" ");
  const number = (at: number): number => Number(fields[at] ?? Number.NaN);
  const stat = {
    name: text.slice(open + 1, close),
    parent: number(column.parent),
    startedMs: number(column.started) * tickMs,
    userMs: number(column.user) * tickMs,
    systemMs: number(column.system) * tickMs,
    childUserMs: number(column.childUser) * tickMs,
    childSystemMs: number(column.childSystem) * tickMs,
  };
  return Object.values(stat).some((value) => Number.isNaN(value)) ? undefined : stat;
}

/** Memory of a process, in bytes: now and at most. */
export interface ProcessMemory {
  readonly resident: number;
  readonly peak: number;
}

/** `/proc/<pid>/status`; undefined for a process that has no memory any more. */
export function parseProcessMemory(text: string): ProcessMemory | undefined {
  const resident = kilobytes(text, "VmRSS");
  const peak = kilobytes(text, "VmHWM");
  return resident === undefined || peak === undefined ? undefined : { resident, peak };
}

function kilobytes(text: string, key: string): number | undefined {
  const found = new RegExp(`^${key}:\\s+(\\d{1,13}) kB$`, "m").exec(text)?.[1];
  return found === undefined ? undefined : Number(found) * 1024;
}

/** Bytes that came from and went to disks; what the page cache had is not in it. */
export interface DiskTraffic {
  readonly read: number;
  readonly written: number;
}

/** `/proc/<pid>/io`: of the process and of its children that have ended. */
export function parseProcessTraffic(text: string): DiskTraffic | undefined {
  const value = (key: string): number | undefined => {
    const found = new RegExp(`^${key}: (\\d{1,15})$`, "m").exec(text)?.[1];
    return found === undefined ? undefined : Number(found);
  };
  const read = value("read_bytes");
  const written = value("write_bytes");
  return read === undefined || written === undefined ? undefined : { read, written };
}

/** `/proc/<pid>/cgroup`: the path in the unified hierarchy, from its root. */
export function parseControlGroup(text: string): string | undefined {
  return /^0::(\/.*)$/m.exec(text)?.[1];
}

/** The control group that Nix makes for one build (`use-cgroups`), when `path` is that or lies below it. */
export function buildGroupOf(path: string): string | undefined {
  // Nix: derivation-building-goal, `nix-build-uid-<uid>`, or `nix-build-pid-<pid>-<n>` without build users.
  return /^.*\/nix-build-(?:uid-\d+|pid-\d+-\d+)(?=\/|$)/.exec(path)?.[0];
}

/** `/proc/mounts`: where the unified hierarchy is mounted. */
export function parseGroupMount(text: string): string | undefined {
  return /^\S+ (\S+) cgroup2 /m.exec(text)?.[1];
}

/** `cpu.stat` of a control group, in milliseconds. */
export function parseGroupCpu(
  text: string,
): { readonly userMs: number; readonly systemMs: number } | undefined {
  const value = (key: string): number | undefined => {
    const found = new RegExp(`^${key} (\\d{1,15})$`, "m").exec(text)?.[1];
    return found === undefined ? undefined : Number(found) / 1000;
  };
  const userMs = value("user_usec");
  const systemMs = value("system_usec");
  return userMs === undefined || systemMs === undefined ? undefined : { userMs, systemMs };
}

/** `memory.peak` of a control group, in bytes. */
export function parseGroupPeak(text: string): number | undefined {
  return /^\d{1,15}$/.test(text.trim()) ? Number(text.trim()) : undefined;
}

/** `io.stat` of a control group: all devices together. A group without traffic has an empty file. */
export function parseGroupTraffic(text: string): DiskTraffic {
  let [read, written] = [0, 0];
  for (const line of text.split("\n")) {
    read += Number(/ rbytes=(\d{1,15})(?= |$)/.exec(line)?.[1] ?? 0);
    written += Number(/ wbytes=(\d{1,15})(?= |$)/.exec(line)?.[1] ?? 0);
  }
  return { read, written };
}
