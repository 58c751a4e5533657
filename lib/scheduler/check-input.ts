/** What goes into the scheduler, checked where it comes in: later it would be a step that never runs, or time that is NaN. */
import {
  type ArgumentRule,
  aFunction,
  aList,
  aName,
  aNumber,
  aText,
  checkArgument,
  checkMembers,
  hasMembers,
  isObject,
  manyOf,
  oneOf,
  optional,
  someTexts,
} from "../argument-checks.js";

type Rules = Readonly<Record<string, ArgumentRule>>;

const isInput = hasMembers({ id: aName, chain: optional(someTexts) });
const someInputs = manyOf("a list of { id }", isInput);

const stepRules: Rules = {
  id: aName,
  name: aName,
  system: aName,
  features: someTexts,
  inputs: someInputs,
  expectedDurationMs: optional(aNumber),
  gate: optional(oneOf(["upload"])),
  tries: optional(aNumber),
  notBefore: optional(aNumber),
};
const isStep = hasMembers(stepRules);

const buildRules: Rules = {
  id: aNumber,
  jobset: aNumber,
  step: aName,
  globalPriority: aNumber,
  localPriority: aNumber,
  timestamp: aNumber,
  maxSilent: optional(aNumber),
  timeout: optional(aNumber),
};

const isBuild = hasMembers(buildRules);

const machineRules: Rules = {
  id: aName,
  hostname: aText,
  systems: someTexts,
  supportedFeatures: someTexts,
  mandatoryFeatures: someTexts,
  cpuCount: aNumber,
  bogomips: aNumber,
  speedFactor: aNumber,
  maxJobs: aNumber,
  buildDirAvailThreshold: aNumber,
  storeAvailThreshold: aNumber,
  load1Threshold: aNumber,
  cpuPsiThreshold: aNumber,
  memPsiThreshold: aNumber,
  ioPsiThreshold: optional(aNumber),
};

const owner = "Scheduler";

/** Each of these throws a UsageError that names the method, the member and what is allowed. */
export function checkSteps(method: string, batch: unknown): void {
  checkArgument(`${owner}.${method}`, "the list of steps", batch, aList);
  const steps = batch as readonly unknown[];
  const index = steps.findIndex((step) => !isStep(step));
  if (index >= 0) checkMembers(`${owner}.${method}: step ${index}`, steps[index], stepRules);
}

/** See `checkSteps`. */
export function checkStep(method: string, step: unknown): void {
  if (!isStep(step)) checkMembers(`${owner}.${method}`, step, stepRules);
}

/** See `checkSteps`. */
export function checkInputs(method: string, inputs: unknown): void {
  checkArgument(`${owner}.${method}`, "argument 'inputs'", inputs, someInputs);
}

/** See `checkSteps`. */
export function checkBuild(method: string, build: unknown): void {
  if (!isBuild(build)) checkMembers(`${owner}.${method}`, build, buildRules);
}

/** See `checkSteps`. */
export function checkPriorities(method: string, priorities: unknown): void {
  checkMembers(`${owner}.${method}`, priorities, { globalPriority: aNumber, localPriority: aNumber });
}

/** See `checkSteps`. */
export function checkJobset(method: string, jobset: unknown): void {
  checkMembers(`${owner}.${method}`, jobset, {
    id: aNumber,
    project: aText,
    name: aText,
    shares: aNumber,
  });
}

const someUsage = manyOf("a list of { start, duration }", hasMembers({ start: aNumber, duration: aNumber }));

/** See `checkSteps`. */
export function checkUsage(method: string, usage: unknown): void {
  checkArgument(`${owner}.${method}`, "argument 'usage'", usage, someUsage);
}

/** See `checkSteps`. */
export function checkMachine(method: string, info: unknown): void {
  checkMembers(`${owner}.${method}`, info, machineRules);
}

const loadRules: Rules = {
  load1: aNumber,
  buildDirFreePercent: aNumber,
  storeFreePercent: aNumber,
  storeTrouble: optional(aText),
};
const isLoad = hasMembers(loadRules);

/** See `checkSteps`. */
export function checkLoad(method: string, load: unknown): void {
  if (!isLoad(load)) checkMembers(`${owner}.${method}`, load, loadRules);
}

/** See `checkSteps`. */
export function checkIds(method: string, ids: unknown): void {
  checkArgument(`${owner}.${method}`, "the list of ids", ids, someTexts);
}

/** See `checkSteps`. */
export function checkFunction(method: string, name: string, value: unknown): void {
  // Asked at every event: the texts are made for a fault only.
  if (typeof value !== "function") {
    checkArgument(`${owner}.${method}`, `argument '${name}'`, value, aFunction);
  }
}

const outcomes = ["succeeded", "failed", "retryable", "postponed", "cancelled"] as const;
const outcomeRules: Rules = { kind: oneOf(outcomes) };
const outcomeKinds: ReadonlySet<unknown> = new Set(outcomes);
const isOutcome = (outcome: unknown): boolean => isObject(outcome) && outcomeKinds.has(outcome.kind);

/** See `checkSteps`. */
export function checkOutcome(method: string, outcome: unknown): void {
  if (!isOutcome(outcome)) checkMembers(`${owner}.${method}: the outcome`, outcome, outcomeRules);
}

/** See `checkSteps`. */
export function checkRunning(method: string, attempt: unknown): void {
  const rules = { attempt: aName, step: aName, machine: aName, startedAt: aNumber };
  checkMembers(`${owner}.${method}`, attempt, rules);
}

/** `now` is milliseconds. */
export function checkTime(now: unknown): void {
  if (typeof now !== "number" || Number.isNaN(now)) checkArgument(owner, "argument 'now'", now, aNumber);
}
