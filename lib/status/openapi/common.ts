/** Schemas that several answers below `/api/` share. */
import type {
  ApiAttempt,
  ApiError,
  ApiLeader,
  ApiProblem,
  ApiReason,
  ApiReasonCounts,
  ApiRunningStep,
  ApiState,
} from "../api/types.js";
import {
  choice,
  count,
  derivation,
  duration,
  integer,
  type Members,
  named,
  object,
  orNull,
  text,
  time,
} from "./schema.js";

/** Body of a refusal below `/api/`. */
export const apiError = named(
  "Error",
  "Why a request was refused",
  object<ApiError>({ error: text("In words"), code: text("Stable name of the kind of refusal") }),
);

/** Body of a refusal elsewhere. */
export const plainError = named(
  "PlainError",
  "Why a request was refused",
  object<{ readonly error: string }>({ error: text("In words") }),
);

/** Why a step does not run, or that it does, with what each means. */
export const reasonMeanings: Readonly<Record<ApiReason, string>> = {
  running: "runs on a machine",
  waitingForInputs: "other steps have to end first",
  waitingForDynamicInputs: "steps have to end that make derivations",
  gated: "an upload has to end first",
  retryLater: "a try failed, the next one has to wait",
  unsupported: "no machine can build it; it fails in a while",
  machinesBusy: "each machine that could build it has a reason not to",
  nextInLine: "starts as soon as the scheduler comes to it",
};

/** One reason. */
export const reason = named("Reason", "Why a step does not run, or that it does", choice(reasonMeanings));

const countMembers: Members<ApiReasonCounts> = {
  running: count(),
  waitingForInputs: count(),
  waitingForDynamicInputs: count(),
  gated: count(),
  retryLater: count(),
  unsupported: count(),
  machinesBusy: count(),
  nextInLine: count(),
};

/** Steps by reason. */
export const reasonCounts = named(
  "ReasonCounts",
  "Steps by reason; a reason that no step has is left out",
  object<ApiReasonCounts>(countMembers, Object.keys(countMembers) as ApiReason[]),
);

/** Something that does not work, or did not. */
export const problem = named(
  "Problem",
  "Something that does not work, or did not",
  object<ApiProblem>({
    part: text("Part of the runner: `database`, `uploads`, `disk`, `store`, `machines` or `queue`"),
    code: text("Stable name of the kind of problem"),
    subject: text("Which of several has it (a cache, a folder, a machine); empty where there is only one"),
    reason: text("The cause, as far as it is known"),
    advice: text("What to do about it"),
    since: time("When it was noticed"),
    until: orNull(time("When it was over; null: it is not")),
  }),
);

/** State of the runner. */
export const stateMembers: Members<ApiState> = {
  state: choice({
    starting: "no queue in memory yet",
    standby: "waits for another runner's lock",
    active: "owns the database and starts steps",
    draining: "starts no new steps",
    stopping: "about to end",
  }),
  startedAt: time("When the process began its work"),
  leader: orNull(
    object<ApiLeader>({
      name: text("In standby: the host of the runner that leads, or its address for the database"),
      since: time("When it connected to the database"),
    }),
  ),
};

/** A step that runs now. */
export const runningStep = named(
  "RunningStep",
  "A step that runs now",
  object<ApiRunningStep>({
    drv: derivation(),
    name: text("Name of the derivation without hash and `.drv`"),
    system: text(),
    build: orNull(integer("The build that it is accounted to")),
    try: integer("Number of the try, from 1; names its log", { minimum: 1 }),
    machine: text("Name of the machine, as in `/api/machines/{name}`"),
    phase: text("What the builder does: `sent`, `building`, `uploading` …"),
    startedAt: time(),
    usualMs: orNull(duration("How long it took before; null when it was never built")),
  }),
);

/** A bar of the timeline. */
export const attempt = named(
  "Attempt",
  "One attempt to run a step, as it was recorded",
  object<ApiAttempt>({
    drv: derivation(),
    name: text("Name of the derivation without hash and `.drv`"),
    build: orNull(integer()),
    job: orNull(text()),
    try: integer("Number of the try, from 1", { minimum: 1 }),
    machine: text(),
    system: orNull(text()),
    startedAt: time(),
    stoppedAt: orNull(time("Null: it runs")),
    status: orNull(integer("`buildsteps.status`; null: it runs")),
    result: text("The status in words"),
  }),
);
