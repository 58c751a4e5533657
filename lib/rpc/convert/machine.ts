/** Join and ping messages: what a builder reports about its machine. */
import { create } from "@bufbuild/protobuf";
import * as wire from "../gen/runner/v1/streaming_pb.js";
import type { BuilderJoin, BuilderPing, Pressure, PressureState } from "../types.js";
import { bad, cleanText, notNegative, parseUuid, present, toBigint, toNumber, uint32 } from "./scalars.js";

/** Systems, and features of one kind, of a machine: each is kept, counted and shown as long as it is joined. */
const mostSystems = 64;
const mostFeatures = 256;
const mostSubstituters = 256;
/** UTF-16 units of a system, a feature or a host name; of the address of a substituter. */
const longestName = 255;
const longestAddress = 2_048;

function names(
  values: readonly string[],
  field: string,
  { most, longest }: { readonly most: number; readonly longest: number },
): string[] {
  if (values.length > most) throw bad(field, `${values.length} are more than ${most}`);
  for (const value of values) {
    if (value.length > longest) throw bad(field, `a name has more than ${longest} characters`);
    if (value === "" || value.includes("\0")) throw bad(field, `${JSON.stringify(value)} is not a name`);
  }
  return [...values];
}

/** Shown to people wherever the machine is. */
function shortText(text: string, field: string): string {
  if (text.length > longestName) throw bad(field, `it has more than ${longestName} characters`);
  return cleanText(text);
}

/**
 * @throws RpcError `invalid-argument`, also for thresholds and factors that are negative or not finite, and for lists and
 *   names that no machine has
 */
export function joinFromWire(message: wire.JoinMessage): BuilderJoin {
  const ioPsi = message.ioPsiThreshold;
  const features = { most: mostFeatures, longest: longestName };
  return {
    machineId: parseUuid(message.machineId, "join.machine_id"),
    systems: names(message.systems, "join.systems", { most: mostSystems, longest: longestName }),
    hostname: shortText(message.hostname, "join.hostname"),
    cpuCount: message.cpuCount,
    bogomips: notNegative(message.bogomips, "join.bogomips"),
    speedFactor: notNegative(message.speedFactor, "join.speed_factor"),
    maxJobs: message.maxJobs,
    buildDirAvailThreshold: notNegative(message.buildDirAvailThreshold, "join.build_dir_avail_threshold"),
    storeAvailThreshold: notNegative(message.storeAvailThreshold, "join.store_avail_threshold"),
    load1Threshold: notNegative(message.load1Threshold, "join.load1_threshold"),
    cpuPsiThreshold: notNegative(message.cpuPsiThreshold, "join.cpu_psi_threshold"),
    memPsiThreshold: notNegative(message.memPsiThreshold, "join.mem_psi_threshold"),
    ioPsiThreshold: ioPsi === undefined ? undefined : notNegative(ioPsi, "join.io_psi_threshold"),
    totalMem: toNumber(message.totalMem, "join.total_mem"),
    supportedFeatures: names(message.supportedFeatures, "join.supported_features", features),
    mandatoryFeatures: names(message.mandatoryFeatures, "join.mandatory_features", features),
    cgroups: message.cgroups,
    substituters: names(message.substituters, "join.substituters", {
      most: mostSubstituters,
      longest: longestAddress,
    }),
    useSubstitutes: message.useSubstitutes,
    nixVersion: shortText(message.nixVersion, "join.nix_version"),
  };
}

/** A join as its message. The running builds travel in a header instead. */
export function joinToWire(join: BuilderJoin): wire.JoinMessage {
  return create(wire.JoinMessageSchema, {
    machineId: join.machineId,
    systems: [...join.systems],
    hostname: cleanText(join.hostname),
    cpuCount: uint32(join.cpuCount, "join.cpuCount"),
    bogomips: notNegative(join.bogomips, "join.bogomips"),
    speedFactor: notNegative(join.speedFactor, "join.speedFactor"),
    maxJobs: uint32(join.maxJobs, "join.maxJobs"),
    buildDirAvailThreshold: notNegative(join.buildDirAvailThreshold, "join.buildDirAvailThreshold"),
    storeAvailThreshold: notNegative(join.storeAvailThreshold, "join.storeAvailThreshold"),
    load1Threshold: notNegative(join.load1Threshold, "join.load1Threshold"),
    cpuPsiThreshold: notNegative(join.cpuPsiThreshold, "join.cpuPsiThreshold"),
    memPsiThreshold: notNegative(join.memPsiThreshold, "join.memPsiThreshold"),
    ...present("ioPsiThreshold", join.ioPsiThreshold),
    totalMem: toBigint(join.totalMem, "join.totalMem"),
    supportedFeatures: [...join.supportedFeatures],
    mandatoryFeatures: [...join.mandatoryFeatures],
    cgroups: join.cgroups,
    substituters: [...join.substituters],
    useSubstitutes: join.useSubstitutes,
    nixVersion: cleanText(join.nixVersion),
  });
}

const pressureNames = ["cpuSome", "memSome", "memFull", "ioSome", "ioFull", "irqFull"] as const;

function pressureFromWire(message: wire.Pressure, field: string): Pressure {
  return {
    avg10: notNegative(message.avg10, `${field}.avg10`),
    avg60: notNegative(message.avg60, `${field}.avg60`),
    avg300: notNegative(message.avg300, `${field}.avg300`),
    total: toNumber(message.total, `${field}.total`),
  };
}

function pressureStateFromWire(message: wire.PressureState): PressureState {
  const read = (name: (typeof pressureNames)[number]): Pressure | undefined => {
    const one = message[name];
    return one && pressureFromWire(one, `ping.pressure.${name}`);
  };
  return {
    cpuSome: read("cpuSome"),
    memSome: read("memSome"),
    memFull: read("memFull"),
    ioSome: read("ioSome"),
    ioFull: read("ioFull"),
    irqFull: read("irqFull"),
  };
}

function pressureStateToWire(state: PressureState): wire.PressureState {
  const message = create(wire.PressureStateSchema);
  for (const name of pressureNames) {
    const one = state[name];
    if (one === undefined) continue;
    const { avg10, avg60, avg300, total } = one;
    message[name] = create(wire.PressureSchema, {
      avg10,
      avg60,
      avg300,
      total: toBigint(Math.trunc(total), `ping.${name}`),
    });
  }
  return message;
}

/** Longest reason, in characters, that a machine gives for its trouble: it is shown to people. */
const longestTrouble = 300;

/** Free space that could not be told (an empty file system gives NaN) counts as none. */
function freePercent(value: number): number {
  return Number.isFinite(value) ? Math.max(0, value) : 0;
}

/** A ping. @throws RpcError `invalid-argument` naming the field */
export function pingFromWire(message: wire.PingMessage): BuilderPing {
  return {
    machineId: parseUuid(message.machineId, "ping.machine_id"),
    load1: notNegative(message.load1, "ping.load1"),
    load5: notNegative(message.load5, "ping.load5"),
    load15: notNegative(message.load15, "ping.load15"),
    memUsage: toNumber(message.memUsage, "ping.mem_usage"),
    pressure: message.pressure && pressureStateFromWire(message.pressure),
    buildDirFreePercent: freePercent(message.buildDirFreePercent),
    storeFreePercent: freePercent(message.storeFreePercent),
    currentSubstitutingPathCount: toNumber(
      message.currentSubstitutingPathCount,
      "ping.current_substituting_path_count",
    ),
    currentUploadingPathCount: toNumber(
      message.currentUploadingPathCount,
      "ping.current_uploading_path_count",
    ),
    currentDownloadingPathCount: toNumber(
      message.currentDownloadingPathCount,
      "ping.current_downloading_path_count",
    ),
    ...present("storeTrouble", message.storeTrouble?.slice(0, longestTrouble)),
  };
}

/** A ping as its message. */
export function pingToWire(ping: BuilderPing): wire.PingMessage {
  return create(wire.PingMessageSchema, {
    machineId: ping.machineId,
    load1: ping.load1,
    load5: ping.load5,
    load15: ping.load15,
    memUsage: toBigint(ping.memUsage, "ping.memUsage"),
    ...present("pressure", ping.pressure && pressureStateToWire(ping.pressure)),
    buildDirFreePercent: ping.buildDirFreePercent,
    storeFreePercent: ping.storeFreePercent,
    currentSubstitutingPathCount: toBigint(
      ping.currentSubstitutingPathCount,
      "ping.currentSubstitutingPathCount",
    ),
    currentUploadingPathCount: toBigint(ping.currentUploadingPathCount, "ping.currentUploadingPathCount"),
    currentDownloadingPathCount: toBigint(
      ping.currentDownloadingPathCount,
      "ping.currentDownloadingPathCount",
    ),
    ...present("storeTrouble", ping.storeTrouble?.slice(0, longestTrouble)),
  });
}
