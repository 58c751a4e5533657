/** The history of a farm as data: what was queued when, what depends on what, how long it took, on which machines. */
import { aList, checkMembers } from "../argument-checks.js";
import { HydraError } from "../errors.js";

/** A derivation that was built. */
export interface TraceStep {
  /** Unique in the trace; a base name of a `.drv`, or a stand-in where names are hashed. */
  readonly drv: string;
  /** For display and for own step orders. */
  readonly name: string;
  readonly system: string;
  /** System features that it requires. */
  readonly features: readonly string[];
  /** Members `drv` of the steps it depends on; only steps of the trace. */
  readonly inputs: readonly string[];
  /** Milliseconds from the start of the attempt that succeeded to its end. */
  readonly durationMs: number;
  /** What the scheduler would have expected, milliseconds. Default: `durationMs`. */
  readonly expectedMs?: number | undefined;
}

/** A build that was queued. */
export interface TraceBuild {
  readonly id: number;
  readonly project: string;
  readonly jobset: string;
  /** The step whose outputs it asks for. */
  readonly drv: string;
  /** Milliseconds since the begin of the trace. */
  readonly queuedMs: number;
  /** As in Hydra's database. Default 0. */
  readonly globalPriority?: number | undefined;
  /** Default 100. */
  readonly localPriority?: number | undefined;
}

/** A machine of the fleet that the trace was recorded with. */
export interface TraceMachine {
  readonly hostname: string;
  readonly systems: readonly string[];
  readonly features: readonly string[];
  /** Steps at once. */
  readonly maxJobs: number;
  /** Default 1. */
  readonly speedFactor?: number | undefined;
}

/** A trace; `formatVersion` is 1. The file has the same members as JSON. */
export interface Trace {
  readonly formatVersion: 1;
  /** Scheduling shares by `project:jobset`; 100 for those that are not named. */
  readonly shares: Readonly<Record<string, number>>;
  readonly machines: readonly TraceMachine[];
  /** In any order. */
  readonly steps: readonly TraceStep[];
  /** In the order in which they were queued. */
  readonly builds: readonly TraceBuild[];
}

/** A text that is not a trace; the message names the member. */
export class TraceError extends HydraError {
  readonly code = "bad-trace";
}

type Check<T> = (value: unknown, where: string) => T;

function fail(where: string, expected: string): never {
  throw new TraceError(`${where} must be ${expected}`);
}

const text: Check<string> = (value, where) =>
  typeof value === "string" && value !== "" ? value : fail(where, "a text that is not empty");

const amount: Check<number> = (value, where) =>
  typeof value === "number" && Number.isFinite(value) && value >= 0
    ? value
    : fail(where, "a number, 0 or more");

const integer: Check<number> = (value, where) =>
  typeof value === "number" && Number.isSafeInteger(value) ? value : fail(where, "a whole number");

function optional<T>(check: Check<T>): Check<T | undefined> {
  return (value, where) => (value === undefined ? undefined : check(value, where));
}

function list<T>(check: Check<T>): Check<readonly T[]> {
  return (value, where) =>
    Array.isArray(value)
      ? value.map((item, index) => check(item, `${where}[${index}]`))
      : fail(where, "a list");
}

function members(value: unknown, where: string): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return fail(where, "an object");
  return value as Readonly<Record<string, unknown>>;
}

const step: Check<TraceStep> = (value, where) => {
  const { drv, name, system, features, inputs, durationMs, expectedMs } = members(value, where);
  return {
    drv: text(drv, `${where}.drv`),
    name: text(name, `${where}.name`),
    system: text(system, `${where}.system`),
    features: list(text)(features, `${where}.features`),
    inputs: list(text)(inputs, `${where}.inputs`),
    durationMs: amount(durationMs, `${where}.durationMs`),
    expectedMs: optional(amount)(expectedMs, `${where}.expectedMs`),
  };
};

const build: Check<TraceBuild> = (value, where) => {
  const { id, project, jobset, drv, queuedMs, globalPriority, localPriority } = members(value, where);
  return {
    id: integer(id, `${where}.id`),
    project: text(project, `${where}.project`),
    jobset: text(jobset, `${where}.jobset`),
    drv: text(drv, `${where}.drv`),
    queuedMs: amount(queuedMs, `${where}.queuedMs`),
    globalPriority: optional(integer)(globalPriority, `${where}.globalPriority`),
    localPriority: optional(integer)(localPriority, `${where}.localPriority`),
  };
};

const machine: Check<TraceMachine> = (value, where) => {
  const { hostname, systems, features, maxJobs, speedFactor } = members(value, where);
  return {
    hostname: text(hostname, `${where}.hostname`),
    systems: list(text)(systems, `${where}.systems`),
    features: list(text)(features, `${where}.features`),
    maxJobs: integer(maxJobs, `${where}.maxJobs`),
    speedFactor: optional(amount)(speedFactor, `${where}.speedFactor`),
  };
};

/**
 * Checks that steps and builds name only steps of the trace, and each id once.
 * @throws TraceError naming the first one that does not
 */
export function checkTrace(trace: Trace): Trace {
  checkMembers("checkTrace", trace, { steps: aList, builds: aList });
  const drvs = new Set<string>();
  for (const { drv } of trace.steps) {
    if (drvs.has(drv)) throw new TraceError(`two steps are named ${drv}`);
    drvs.add(drv);
  }
  for (const { drv, inputs } of trace.steps) {
    const missing = inputs.find((input) => !drvs.has(input));
    if (missing !== undefined)
      throw new TraceError(`${drv} depends on ${missing}, which is not in the trace`);
  }
  const ids = new Set<number>();
  for (const { id, drv } of trace.builds) {
    if (!drvs.has(drv)) throw new TraceError(`build ${id} asks for ${drv}, which is not in the trace`);
    if (ids.has(id)) throw new TraceError(`two builds have the id ${id}`);
    ids.add(id);
  }
  return trace;
}

/** Reads the text of a trace file. @throws TraceError when it is not one; the message names the member */
export function parseTrace(json: string): Trace {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (cause) {
    throw new TraceError("a trace is a JSON document", { cause });
  }
  const { formatVersion, shares, machines, steps, builds } = members(value, "the trace");
  if (formatVersion !== 1) throw new TraceError("formatVersion must be 1; other versions are not known");
  const entries = Object.entries(members(shares, "shares"));
  return checkTrace({
    formatVersion,
    shares: Object.fromEntries(
      entries.map(([name, value]) => [name, amount(value, `shares.${JSON.stringify(name)}`)]),
    ),
    machines: list(machine)(machines, "machines"),
    steps: list(step)(steps, "steps"),
    builds: list(build)(builds, "builds"),
  });
}
