/** What the page says in words: results of builds, and why a step does not run. */
import type { buildStatus } from "../../database/status-numbers.js";
import type { BlockedMachine, MachineBlock } from "../../scheduler/index.js";
import type { StepExplanation } from "../types.js";

/** `builds.buildstatus` and `buildsteps.status` of a success. A number of its own, since nothing of the database is loaded here. */
export const succeeded: typeof buildStatus.succeeded = 0;

/** Results by `builds.buildstatus`, as Hydra's front-end names them. */
const results: ReadonlyMap<number, string> = new Map([
  [succeeded, "succeeded"],
  [1, "failed"],
  [2, "dependency failed"],
  [3, "aborted"],
  [4, "cancelled"],
  [6, "failed with output"],
  [7, "timed out"],
  [8, "failed before"],
  [9, "unsupported system"],
  [10, "log limit exceeded"],
  [11, "output limit exceeded"],
  [12, "not deterministic"],
]);

/** The result of a build; a number that has no name is given as it is. */
export function resultWords(status: number): string {
  return results.get(status) ?? `status ${status}`;
}

/** `41 s`, `2 min 5 s`, `3 h 10 min`, `2 d 4 h`. */
export function spanWords(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86_400)} d ${Math.floor((seconds % 86_400) / 3600)} h`;
}

const thresholds = {
  buildDir: "too little space for builds",
  store: "too little space in the store",
  load1: "load over its limit",
  cpuPressure: "CPU pressure over its limit",
  memPressure: "memory pressure over its limit",
  ioPressure: "I/O pressure over its limit",
} as const;

/** Why a machine takes no step, with the figure that decides. */
export function blockWords(block: MachineBlock, now: number): string {
  switch (block.kind) {
    case "full":
      return `full (${block.jobs} of ${block.maxJobs})`;
    case "uploads":
      return `busy with ${block.uploads} uploads`;
    case "threshold":
      return `${thresholds[block.what]} (${block.value.toFixed(1)}, limit ${block.limit})`;
    case "noPing":
      return "no ping yet";
    case "policy":
      return "no room by the operator's rule";
    case "burst":
      return `just got several steps, more in ${spanWords(block.until - now)}`;
    case "held":
      return `held for ${spanWords(block.until - now)} after ${block.failures} failures`;
    case "probing":
      return "on trial after a hold";
    case "draining":
      return "draining";
    case "storeSilent":
      return "Nix daemon does not answer";
    case "disconnected":
      return "connection lost";
    case "avoided":
      return "the step failed there";
  }
}

/** Machines that a sentence names; the rest is a number. */
const namedMachines = 3;

function machinesWords(machines: readonly BlockedMachine[], now: number): string {
  const named = machines
    .slice(0, namedMachines)
    .map(({ hostname, block }) => `${hostname} ${blockWords(block, now)}`);
  const more = machines.length - named.length;
  return named.join(", ") + (more > 0 ? `, and ${more} more` : "");
}

/** A number with its noun: `1 step`, `41,230 steps`. */
export function count(number: number, one: string, many: string): string {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
}

/** One sentence without a full stop: why a step does not run, or what became of it. `now` as in the explanation. */
export function explanationWords(explanation: StepExplanation, now: number): string {
  switch (explanation.code) {
    case "unknown":
      return "not known";
    case "finished":
      return "finished";
    case "resolved":
      return `resolved to ${explanation.to}`;
    case "running":
      return `on ${explanation.hostname} since ${spanWords(now - explanation.since)} (${explanation.phase})`;
    case "waitingForInputs":
      return `waits for ${count(explanation.count, "input", "inputs")}`;
    case "waitingForDynamicInputs":
      return "waits for derivations that its inputs make";
    case "gated":
      return "waits for an upload";
    case "retryLater":
      return `try ${explanation.tries + 1} of ${explanation.maxTries} in ${spanWords(explanation.at - now)}${
        explanation.reason === undefined ? "" : `: ${explanation.reason}`
      }`;
    case "unsupported": {
      const { system, systemKnown, missingFeatures, failsAt } = explanation;
      const lacking = systemKnown
        ? `no machine offers ${missingFeatures.length > 0 ? missingFeatures.join(", ") : "all its features at once"}`
        : `no machine builds ${system}`;
      return `${lacking}; fails in ${spanWords(failsAt - now)}`;
    }
    case "machinesBusy":
      return `${explanation.position > 1 ? `place ${explanation.position.toLocaleString("en")}; ` : ""}${machinesWords(
        explanation.machines,
        now,
      )}`;
    case "nextInLine":
      // A place that was not asked for is 0.
      if (explanation.position === 0) return "starts soon";
      return explanation.position > 1 ? `place ${explanation.position.toLocaleString("en")}` : "next";
  }
}
