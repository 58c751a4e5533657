/** Why a step does not run, as `GET /status/steps/<drv>/why` says it: one printer for each code. */
import type { BlockedMachine, MachineBlock } from "../../scheduler/index.js";
import type { StepExplanation } from "../types.js";
import { timestamp } from "./encoding.js";
import type { Json, JsonObject } from "./shapes.js";

/** Times as RFC 3339 text; what is not known is left out. `code` says which members there are. */
export function explanationJson(explanation: StepExplanation): JsonObject {
  const { code } = explanation;
  switch (code) {
    case "unknown":
      return { code };
    case "finished":
      return {
        code,
        status: explanation.status,
        ...(explanation.at === undefined ? {} : { at: timestamp(explanation.at) }),
      };
    case "resolved":
      return { code, to: explanation.to };
    case "running":
      return {
        code,
        machine: explanation.machine,
        hostname: explanation.hostname,
        since: timestamp(explanation.since),
        phase: explanation.phase,
      };
    case "waitingForInputs":
      return { code, inputs: explanation.inputs, count: explanation.count };
    case "waitingForDynamicInputs":
      return { code, producers: explanation.producers };
    case "gated":
      return { code, gate: explanation.gate };
    case "retryLater":
      return {
        code,
        at: timestamp(explanation.at),
        tries: explanation.tries,
        maxTries: explanation.maxTries,
        ...(explanation.reason === undefined ? {} : { reason: explanation.reason }),
      };
    case "unsupported":
      return {
        code,
        system: explanation.system,
        systemKnown: explanation.systemKnown,
        features: explanation.features,
        missingFeatures: explanation.missingFeatures,
        since: timestamp(explanation.since),
        failsAt: timestamp(explanation.failsAt),
      };
    case "machinesBusy":
      return { code, machines: explanation.machines.map(blockedMachineJson), position: explanation.position };
    case "nextInLine":
      return { code, position: explanation.position };
  }
}

function blockedMachineJson({ machine, hostname, block }: BlockedMachine): Json {
  return { machine, hostname, block: blockJson(block, timestamp) };
}

/** Why a machine takes no step. `time` prints the end of a hold or burst. */
export function blockJson(block: MachineBlock, time: (milliseconds: number) => Json): JsonObject {
  const { kind } = block;
  switch (kind) {
    case "full":
      return { kind, jobs: block.jobs, maxJobs: block.maxJobs };
    case "uploads":
      return { kind, uploads: block.uploads, limit: block.limit };
    case "threshold":
      return { kind, what: block.what, value: block.value, limit: block.limit };
    case "burst":
    case "disconnected":
      return { kind, until: time(block.until) };
    case "held":
      return {
        kind,
        until: time(block.until),
        failures: block.failures,
        ...(block.fault === undefined ? {} : { fault: block.fault }),
      };
    case "storeSilent":
      return { kind, reason: block.reason };
    case "noPing":
    case "policy":
    case "probing":
    case "draining":
    case "avoided":
      return { kind };
  }
}
