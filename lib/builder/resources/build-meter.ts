/**
 * Measures what builds use while they run: CPU time, memory, traffic with disks.
 *
 * The daemon tells the CPU time, where it is new and uses control groups. Else the build's control group is read, and
 * where there is none the processes of the build are looked at about once a second. The worker of the daemon has the
 * CPU time and the traffic of everything it waited for, so these are right to the end; memory is what was seen.
 *
 * One look serves all builds, and on a machine with many processes looks are rarer. A build that is over before the first
 * look, or whose processes cannot be told from another's, goes without.
 */
import { mapLimited } from "../../async/index.js";
import type { BuildResult } from "../../nix/store/store.js";
import type { BuildResources } from "../../rpc/types.js";
import {
  type Candidate,
  childrenOf,
  kinshipOf,
  pair,
  possibleWorkers,
  servesClient,
  treeOf,
} from "./build-processes.js";
import { findBuildGroup, observeGroup } from "./control-group.js";
import { type DiskTraffic, type ProcessStat, parseProcessMemory, parseProcessTraffic } from "./formats.js";
import { type ProcessTable, readCommandLine, readProcessTable, readStat, readText } from "./processes.js";
import { atLeast, combine, type Observation } from "./usage.js";

/** Milliseconds from the start of a build to the first look at it. */
const firstLookMs = 100;
/** Milliseconds between looks while a build's processes are not found yet, and afterwards. */
const searchMs = 250;
const sampleMs = 1000;
/**
 * Rest after a look for each process it read, which takes about 0.1 ms of a processor: looking costs 5 % of one at most.
 * The time that a look took says nothing of its cost on a machine that is busy building.
 */
const restPerProcessMs = 2;
const longestRestMs = 10_000;
/** A build whose processes were not found in this time has none here: its store is elsewhere. */
const searchPatienceMs = 15_000;
/** Builds may start this much earlier than they were ordered, as far as clocks can tell. */
const clockSlackMs = 200;
const filesAtOnce = 16;

/** How builds are measured. */
export interface BuildMeterOptions {
  /** Read at the start of each build. */
  readonly enabled: () => boolean;
  /** Milliseconds, monotonic. */
  readonly clock: () => number;
  /** Where processes are seen. Default: `/proc` on Linux, and none elsewhere. */
  readonly proc?: string | undefined;
  /** The client that the daemon's workers serve. Default: this process. */
  readonly pid?: number | undefined;
}

/** The daemon's worker that runs a build, and nothing else meanwhile. */
interface Found {
  readonly worker: number;
  /** What the worker had on its account before. */
  readonly before: Observation;
  /** Folder of the build's control group, if it has one. */
  group: string | undefined;
}

interface Measured {
  /** Paths of outputs that are known before, by name. */
  readonly outputs: ReadonlyMap<string, string>;
  readonly startedAt: number;
  found: Found | undefined;
  sampled: Observation;
  grouped: Observation;
}

/** A build that is being measured. End it exactly once. */
export interface Measurement {
  /** What the build has used; undefined when nothing could be measured. `result`: what the daemon said, if it did. */
  end(result: BuildResult | undefined): Promise<BuildResources | undefined>;
}

/** Measures the builds of one builder. */
export class BuildMeter {
  readonly #options: BuildMeterOptions;
  readonly #proc: string | undefined;
  readonly #pid: number;
  readonly #running = new Set<Measured>();
  #timer: NodeJS.Timeout | undefined;
  #looking = false;

  constructor(options: BuildMeterOptions) {
    this.#options = options;
    this.#proc = options.proc ?? (process.platform === "linux" ? "/proc" : undefined);
    this.#pid = options.pid ?? process.pid;
  }

  /** Call it right before the build is ordered from the daemon. `outputs`: paths that are known, by output name. */
  start(outputs: ReadonlyMap<string, string>): Measurement {
    if (!this.#options.enabled()) return { end: async () => undefined };
    const startedAt = this.#options.clock();
    const measured: Measured = { outputs, startedAt, found: undefined, sampled: {}, grouped: {} };
    this.#running.add(measured);
    this.#lookIn(firstLookMs);
    return { end: (result) => this.#end(measured, result) };
  }

  async #end(measured: Measured, result: BuildResult | undefined): Promise<BuildResources | undefined> {
    this.#running.delete(measured);
    if (this.#running.size === 0) {
      clearTimeout(this.#timer);
      this.#timer = undefined;
    }
    const { found } = measured;
    const sampled =
      found === undefined || this.#proc === undefined
        ? measured.sampled
        : atLeast(measured.sampled, difference(await observeWorker(this.#proc, found.worker), found.before));
    // What a worker waited for is of the build alone, and later than the last look at a group that is gone by now.
    const grouped =
      measured.grouped.cpu === undefined
        ? measured.grouped
        : { ...measured.grouped, ...pickCpu(atLeast(measured.grouped, { cpu: sampled.cpu })) };
    return combine({ daemon: daemonObservation(result), cgroup: grouped, samples: sampled });
  }

  #lookIn(ms: number): void {
    if (this.#proc === undefined || this.#timer !== undefined || this.#looking) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      void this.#look();
    }, ms);
    this.#timer.unref();
  }

  /** Never rejects: what cannot be read is not there. */
  async #look(): Promise<void> {
    const proc = this.#proc;
    if (proc === undefined || this.#running.size === 0) return;
    const began = this.#options.clock();
    // Small builds come and go between two looks; only one that stays is worth looking for.
    const oldest = Math.min(...[...this.#running].map(({ startedAt }) => startedAt));
    if (began - oldest < firstLookMs) {
      this.#lookIn(firstLookMs - (began - oldest));
      return;
    }
    this.#looking = true;
    const table = await readProcessTable(proc);
    await this.#search(proc, table, began);
    const children = childrenOf(table);
    for (const measured of this.#running) {
      if (measured.found !== undefined) await observe(proc, table, children, measured, measured.found);
    }
    const now = this.#options.clock();
    this.#looking = false;
    const searching = [...this.#running].filter((each) => isSearched(each, now));
    const watching = [...this.#running].some((each) => each.found !== undefined);
    if (searching.length === 0 && !watching) return;
    const rest = Math.min(longestRestMs, restPerProcessMs * table.size);
    this.#lookIn(Math.max(searching.length > 0 ? searchMs : sampleMs, rest));
  }

  /** Finds the processes of builds that were started since. */
  async #search(proc: string, table: ProcessTable, now: number): Promise<void> {
    const wanting = [...this.#running].filter((each) => isSearched(each, now));
    const self = table.get(process.pid);
    if (wanting.length === 0 || self === undefined) return;
    const taken = new Set([...this.#running].map(({ found }) => found?.worker));
    const machineMs = self.startedMs + process.uptime() * 1000;
    const children = childrenOf(table);
    const candidates: Candidate<Measured>[] = [];
    const workers = possibleWorkers(table).filter((pid) => !taken.has(pid));
    await mapLimited(workers, filesAtOnce, async (worker) => {
      const roots = children.get(worker) ?? [];
      if (roots.length === 0 || !servesClient(await readCommandLine(proc, worker), this.#pid)) return;
      for (const root of roots) {
        const environment = await readText(`${proc}/${root}/environ`);
        for (const build of wanting) {
          const age = now - build.startedAt;
          const started = table.get(root)?.startedMs ?? 0;
          if (started < machineMs - age - clockSlackMs) continue;
          const kinship = kinshipOf(environment, build.outputs);
          if (kinship !== "other") candidates.push({ build, root, kinship });
        }
      }
    });
    for (const [build, root] of pair(candidates)) {
      const worker = table.get(root)?.parent;
      if (worker === undefined) continue;
      const before = await observeWorker(proc, worker);
      // Its end was waited for in the meantime: then the worker's account has it, and there is no "before".
      if (readStat(proc, root)?.parent !== worker) continue;
      build.found = { worker, before, group: undefined };
    }
  }
}

function isSearched({ found, startedAt }: Measured, now: number): boolean {
  return found === undefined && now - startedAt < searchPatienceMs;
}

/** One look at the processes, or the group, of a build. */
async function observe(
  proc: string,
  table: ProcessTable,
  children: ReadonlyMap<number, readonly number[]>,
  measured: Measured,
  found: Found,
): Promise<void> {
  const [root, ...others] = children.get(found.worker) ?? [];
  if (root === undefined) return;
  found.group ??= await findBuildGroup(proc, root);
  if (found.group !== undefined) {
    measured.grouped = atLeast(measured.grouped, await observeGroup(found.group));
  }
  const tree = [root, ...others].flatMap((each) => treeOf(children, each));
  const parts = await mapLimited(tree, filesAtOnce, async (pid) => {
    const [status, traffic] = await Promise.all([
      readText(`${proc}/${pid}/status`),
      readText(`${proc}/${pid}/io`),
    ]);
    return {
      stat: table.get(pid),
      memory: status === undefined ? undefined : parseProcessMemory(status),
      traffic: traffic === undefined ? undefined : parseProcessTraffic(traffic),
    };
  });
  let cpu = { userMs: 0, systemMs: 0 };
  let [resident, peak] = [0, 0];
  let traffic: DiskTraffic | undefined;
  for (const part of parts) {
    cpu = plus(cpu, part.stat);
    resident += part.memory?.resident ?? 0;
    peak = Math.max(peak, part.memory?.peak ?? 0);
    if (part.traffic === undefined) continue;
    traffic = {
      read: (traffic?.read ?? 0) + part.traffic.read,
      written: (traffic?.written ?? 0) + part.traffic.written,
    };
  }
  measured.sampled = atLeast(measured.sampled, { cpu, peakMemory: Math.max(resident, peak), traffic });
}

function plus(
  cpu: { readonly userMs: number; readonly systemMs: number },
  stat: ProcessStat | undefined,
): { userMs: number; systemMs: number } {
  if (stat === undefined) return cpu;
  return {
    userMs: cpu.userMs + stat.userMs + stat.childUserMs,
    systemMs: cpu.systemMs + stat.systemMs + stat.childSystemMs,
  };
}

/** What is on the account of a worker: the CPU time of what it waited for, and all traffic. */
async function observeWorker(proc: string, worker: number): Promise<Observation> {
  const stat = readStat(proc, worker);
  const io = await readText(`${proc}/${worker}/io`);
  return {
    cpu: stat === undefined ? undefined : { userMs: stat.childUserMs, systemMs: stat.childSystemMs },
    traffic: io === undefined ? undefined : parseProcessTraffic(io),
  };
}

function difference(after: Observation, before: Observation): Observation {
  return {
    cpu:
      after.cpu === undefined || before.cpu === undefined
        ? undefined
        : {
            userMs: Math.max(0, after.cpu.userMs - before.cpu.userMs),
            systemMs: Math.max(0, after.cpu.systemMs - before.cpu.systemMs),
          },
    traffic:
      after.traffic === undefined || before.traffic === undefined
        ? undefined
        : {
            read: Math.max(0, after.traffic.read - before.traffic.read),
            written: Math.max(0, after.traffic.written - before.traffic.written),
          },
  };
}

function pickCpu({ cpu }: Observation): Observation {
  return { cpu };
}

/** The daemon's own numbers are microseconds. */
function daemonObservation(result: BuildResult | undefined): Observation {
  const { cpuUser, cpuSystem } = result ?? {};
  if (cpuUser === undefined || cpuSystem === undefined) return {};
  return { cpu: { userMs: cpuUser / 1000, systemMs: cpuSystem / 1000 } };
}
