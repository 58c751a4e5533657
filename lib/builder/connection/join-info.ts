/** What this machine reports to a runner when it joins, and with each ping. */
import type { BuilderJoin, BuilderPing } from "../../rpc/types.js";
import type { BuilderCounters } from "../counters.js";
import type { NixConfiguration } from "../machine/nix-configuration.js";
import type { MachineFacts, SystemSample } from "../machine/system-sampling.js";
import type { BuilderSettings } from "../options.js";

/** All that is known of this machine before it joins. */
export interface MachineDescription {
  readonly hostname: string;
  readonly settings: BuilderSettings;
  readonly nix: NixConfiguration;
  readonly facts: MachineFacts;
}

function unique(words: readonly string[]): string[] {
  return [...new Set(words)];
}

/** The message that joins a runner. Settings win over what Nix reports; duplicates in lists are dropped. */
export function joinMessage(machineId: string, machine: MachineDescription): BuilderJoin {
  const { settings, nix, facts } = machine;
  return {
    machineId,
    hostname: machine.hostname,
    systems: unique(settings.systems ?? [nix.system, ...nix.extraPlatforms]),
    cpuCount: facts.count,
    bogomips: facts.bogomips,
    speedFactor: settings.speedFactor,
    maxJobs: settings.maxJobs,
    buildDirAvailThreshold: settings.buildDirAvailThreshold,
    storeAvailThreshold: settings.storeAvailThreshold,
    load1Threshold: settings.load1Threshold,
    cpuPsiThreshold: settings.cpuPsiThreshold,
    memPsiThreshold: settings.memPsiThreshold,
    ioPsiThreshold: settings.ioPsiThreshold,
    totalMem: facts.totalMemory,
    supportedFeatures: unique(settings.supportedFeatures ?? nix.systemFeatures),
    mandatoryFeatures: unique(settings.mandatoryFeatures),
    cgroups: nix.useCgroups,
    substituters: nix.substituters,
    useSubstitutes: settings.useSubstitutes,
    nixVersion: nix.nixVersion,
  };
}

/** The periodic message with the load of the machine and the transfers under way. */
export function pingMessage(machineId: string, sample: SystemSample, counters: BuilderCounters): BuilderPing {
  const [load1, load5, load15] = sample.load;
  return {
    machineId,
    load1,
    load5,
    load15,
    memUsage: sample.memoryUsed,
    pressure: sample.pressure,
    buildDirFreePercent: sample.buildDirFreePercent,
    storeFreePercent: sample.storeFreePercent,
    currentSubstitutingPathCount: counters.substituting,
    currentUploadingPathCount: counters.uploading,
    currentDownloadingPathCount: counters.downloading,
  };
}
