/** Schemas of builds and steps. */
import type {
  ApiBlocker,
  ApiBuild,
  ApiCost,
  ApiGraph,
  ApiGraphNode,
  ApiOutput,
  ApiStep,
  ApiStepState,
  ApiTry,
} from "../api/types.js";
import { reason } from "./common.js";
import {
  choice,
  count,
  derivation,
  duration,
  flag,
  integer,
  list,
  named,
  number,
  object,
  orNull,
  pair,
  text,
  time,
} from "./schema.js";

const stepState = named(
  "StepState",
  "State of a step",
  choice<ApiStepState>({
    succeeded: "",
    cached: "was known already",
    failed: "",
    running: "",
    ready: "only waits for room on a machine",
    waiting: "waits for anything else",
    unsupported: "no machine can build it",
    cancelled: "",
    unknown: "",
  }),
);

const cost = named(
  "Cost",
  "What an attempt cost; what was not measured is null",
  object<ApiCost>({
    cpuUserMs: orNull(duration("Processor time in user mode")),
    cpuSystemMs: orNull(duration("Processor time in the kernel")),
    peakMemory: orNull(count("Bytes")),
    readBytes: orNull(count()),
    writtenBytes: orNull(count()),
    outputBytes: orNull(count("All outputs together, as NARs")),
    source: text("`daemon`, `cgroup` or `samples`; the last one is an estimate"),
  }),
);

const oneTry = named(
  "Try",
  "One try to run a step",
  object<ApiTry>({
    try: integer("From 1", { minimum: 1 }),
    machine: orNull(text()),
    startedAt: orNull(time()),
    stoppedAt: orNull(time()),
    status: orNull(integer("`buildsteps.status`; null: it runs")),
    result: text("The status in words"),
    error: orNull(text()),
    hasLog: flag(),
    cost: orNull(cost),
  }),
);

const graph = named(
  "Graph",
  "Steps below a build or step, and which needs which",
  object<ApiGraph>({
    nodes: list(
      object<ApiGraphNode>({
        id: text("The derivation, or for a group a text that is not one"),
        name: text(),
        state: stepState,
        count: count("Steps in it; more than 1: a group of steps in the same state"),
        machine: orNull(text()),
        startedAt: orNull(time()),
        durationMs: orNull(duration("How long it took, or is expected to take")),
        critical: flag("On the longest chain of work that is left"),
      }),
    ),
    edges: list(pair(count(), count()), "From what needs to what is needed, as indices of `nodes`"),
    steps: count("Steps in all, also those in groups"),
    truncated: flag("There is more"),
  }),
);

const blocker = named(
  "Blocker",
  "A step that holds a build or step up",
  object<ApiBlocker>({
    drv: derivation(),
    name: text(),
    state: stepState,
    why: text("In words"),
    machine: orNull(text()),
    startedAt: orNull(time()),
    usualMs: orNull(duration("How long it took before")),
  }),
);

const outputs = list(
  object<ApiOutput>({ name: text(), path: orNull(text("Store path; null: not known yet")) }),
);

/** `GET /api/builds/{id}`. */
export const build = named(
  "Build",
  "A build: what became of it, or what holds it up",
  object<ApiBuild>({
    now: time(),
    id: integer(),
    project: text(),
    jobset: text(),
    job: text(),
    drv: derivation(),
    name: text(),
    system: text(),
    finished: flag(),
    status: orNull(integer("`builds.buildstatus`; null: not finished")),
    words: text("What became of it, or what holds it up"),
    error: orNull(text()),
    priority: integer(),
    globalPriority: integer(),
    queuedAt: time(),
    startedAt: orNull(time()),
    stoppedAt: orNull(time()),
    usualMs: orNull(duration("How long its own step took before")),
    steps: object<ApiBuild["steps"]>({ total: count(), done: count(), running: count(), failed: count() }),
    tries: list(oneTry, "Of its own step"),
    failures: list(
      object<ApiBuild["failures"][number]>({ drv: derivation(), name: text(), try: oneTry }),
      "Steps that failed, with their last try",
    ),
    blockedBy: list(blocker),
    graph,
    outputs,
    products: list(
      object<ApiBuild["products"][number]>({
        type: text(),
        subtype: text(),
        name: text(),
        path: text(),
        size: orNull(count("Bytes")),
      }),
    ),
    url: orNull(text("Its page at the front-end")),
    share: orNull(
      object<NonNullable<ApiBuild["share"]>>({
        asked: number("Share of its jobset, 0 to 1"),
        got: number("What it got of the last 24 h"),
      }),
    ),
  }),
);

/** `GET /api/steps/{drv}`. */
export const step = named(
  "Step",
  "A step: why it does not run, or what became of it",
  object<ApiStep>({
    now: time(),
    drv: derivation(),
    name: text(),
    system: orNull(text()),
    features: list(text()),
    state: stepState,
    words: text("The scheduler's own sentence"),
    reason: orNull(reason),
    machines: list(
      object<ApiStep["machines"][number]>({ machine: text(), why: text() }),
      "Machines that could build it, and why each does not",
    ),
    builds: list(object<ApiStep["builds"][number]>({ id: integer(), job: text(), jobset: text() })),
    tries: list(oneTry),
    usualMs: orNull(duration("How long it took before")),
    startedAt: orNull(time()),
    blockedBy: list(blocker),
    graph,
    outputs,
  }),
);
