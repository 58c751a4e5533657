/** What the control group of a build has counted. */
import {
  buildGroupOf,
  parseControlGroup,
  parseGroupCpu,
  parseGroupMount,
  parseGroupPeak,
  parseGroupTraffic,
} from "./formats.js";
import { readText } from "./processes.js";
import type { Observation } from "./usage.js";

/** The folder of the control group that Nix made for the build of this process; undefined when it made none. */
export async function findBuildGroup(proc: string, pid: number): Promise<string | undefined> {
  const [own, mounts] = await Promise.all([
    readText(`${proc}/${pid}/cgroup`),
    readText(`${proc}/self/mounts`),
  ]);
  const path = parseControlGroup(own ?? "");
  const group = path === undefined ? undefined : buildGroupOf(path);
  const mount = parseGroupMount(mounts ?? "");
  return group === undefined || mount === undefined ? undefined : mount + group;
}

/**
 * What the group has used until now. Memory and disks are often not counted there: the daemon sits in the group above,
 * and Linux then gives those controllers to no group below it.
 */
export async function observeGroup(folder: string): Promise<Observation> {
  const [cpu, peak, io] = await Promise.all(
    ["cpu.stat", "memory.peak", "io.stat"].map((name) => readText(`${folder}/${name}`)),
  );
  return {
    cpu: cpu === undefined ? undefined : parseGroupCpu(cpu),
    peakMemory: peak === undefined ? undefined : parseGroupPeak(peak),
    traffic: io === undefined ? undefined : parseGroupTraffic(io),
  };
}
