/** What a builder reports of a build: steps on the way and the end. */
import { create } from "@bufbuild/protobuf";
import * as wire from "../gen/runner/v1/streaming_pb.js";
import type { BuildCompletion, BuildState, BuiltOutput, StepStatus, StepUpdate } from "../types.js";
import { nixSupportFromWire, nixSupportToWire } from "./nix-support.js";
import { cleanText, outputName, parseUuid, present, toBigint, toNumber } from "./scalars.js";
import { hashFromWire, hashToWire, storePathFromWire, storePathToWire } from "./store.js";

const stepStatuses = new Map<wire.StepStatus, StepStatus>([
  [wire.StepStatus.Preparing, "preparing"],
  [wire.StepStatus.Connecting, "connecting"],
  [wire.StepStatus.SeningInputs, "sendingInputs"],
  [wire.StepStatus.Building, "building"],
  [wire.StepStatus.WaitingForLocalSlot, "waitingForLocalSlot"],
  [wire.StepStatus.ReceivingOutputs, "receivingOutputs"],
  [wire.StepStatus.PostProcessing, "postProcessing"],
]);

const buildStates = new Map<wire.BuildResultState, BuildState>([
  [wire.BuildResultState.BuildFailure, "buildFailure"],
  [wire.BuildResultState.Success, "success"],
  [wire.BuildResultState.PreparingFailure, "preparingFailure"],
  [wire.BuildResultState.ImportFailure, "importFailure"],
  [wire.BuildResultState.UploadFailure, "uploadFailure"],
  [wire.BuildResultState.PostProcessingFailure, "postProcessingFailure"],
  [wire.BuildResultState.TimedOutFailure, "timedOut"],
  [wire.BuildResultState.LogLimitFailure, "logLimit"],
  [wire.BuildResultState.NarSizeLimitFailure, "narSizeLimit"],
]);

function reversed<K, V>(map: ReadonlyMap<K, V>): ReadonlyMap<V, K> {
  return new Map([...map].map(([key, value]) => [value, key]));
}

const statusNumbers = reversed(stepStatuses);
const stateNumbers = reversed(buildStates);

/** A status of a newer builder counts as `preparing`. */
export function stepUpdateFromWire(message: wire.StepUpdate): StepUpdate {
  return {
    buildId: parseUuid(message.buildId, "build_id"),
    machineId: parseUuid(message.machineId, "machine_id"),
    status: stepStatuses.get(message.stepStatus) ?? "preparing",
  };
}

/** A progress report as its message. */
export function stepUpdateToWire(update: StepUpdate): wire.StepUpdate {
  return create(wire.StepUpdateSchema, {
    buildId: update.buildId,
    machineId: update.machineId,
    ...present("stepStatus", statusNumbers.get(update.status)),
  });
}

function outputFromWire(message: wire.OutputInfo, field: string): BuiltOutput {
  return {
    path: storePathFromWire(message.path, `${field}.path`),
    closureSize: toNumber(message.closureSize, `${field}.closure_size`),
    narSize: toNumber(message.narSize, `${field}.nar_size`),
    narHash: message.narHash && hashFromWire(message.narHash, `${field}.nar_hash`),
    nixSupport: message.nixSupport && nixSupportFromWire(message.nixSupport, `${field}.nixSupport`),
  };
}

function outputToWire(output: BuiltOutput): wire.OutputInfo {
  return create(wire.OutputInfoSchema, {
    path: storePathToWire(output.path),
    closureSize: toBigint(output.closureSize, "output.closureSize"),
    narSize: toBigint(output.narSize, "output.narSize"),
    ...present("narHash", output.narHash && hashToWire(output.narHash, "output.narHash")),
    ...present("nixSupport", output.nixSupport && nixSupportToWire(output.nixSupport)),
  });
}

/**
 * Longest error text, in UTF-16 units, as in the database: it is kept with the events of its step and shown in lists.
 */
const longestError = 64 * 1024;

/** A state of a newer builder counts as `buildFailure`. Outputs of anything but a success are not looked at. */
export function completionFromWire(message: wire.BuildResultInfo): BuildCompletion {
  const state = buildStates.get(message.resultState) ?? "buildFailure";
  const outputs = new Map<string, BuiltOutput>();
  if (state === "success") {
    for (const [name, output] of Object.entries(message.outputInfos).sort(([a], [b]) => (a < b ? -1 : 1))) {
      outputs.set(outputName(name, "outputInfos"), outputFromWire(output, `outputInfos[${name}]`));
    }
  }
  return {
    buildId: parseUuid(message.buildId, "build_id"),
    machineId: parseUuid(message.machineId, "machine_id"),
    state,
    importMs: toNumber(message.importTimeMs, "import_time_ms"),
    buildMs: toNumber(message.buildTimeMs, "build_time_ms"),
    uploadMs: toNumber(message.uploadTimeMs, "upload_time_ms"),
    outputs,
    error: message.errorMsg === undefined ? undefined : cleanText(message.errorMsg.slice(0, longestError)),
  };
}

/** The outcome of a build as its message. */
export function completionToWire(completion: BuildCompletion): wire.BuildResultInfo {
  const outputInfos: Record<string, wire.OutputInfo> = {};
  for (const [name, output] of completion.outputs) {
    outputInfos[outputName(name, "outputs")] = outputToWire(output);
  }
  return create(wire.BuildResultInfoSchema, {
    buildId: completion.buildId,
    machineId: completion.machineId,
    importTimeMs: toBigint(Math.round(completion.importMs), "importMs"),
    buildTimeMs: toBigint(Math.round(completion.buildMs), "buildMs"),
    uploadTimeMs: toBigint(Math.round(completion.uploadMs), "uploadMs"),
    ...present("resultState", stateNumbers.get(completion.state)),
    outputInfos,
    ...present("errorMsg", completion.error === undefined ? undefined : cleanText(completion.error)),
  });
}
