/** Schemas of machines, the queue and the timeline. */
import type {
  ApiMachine,
  ApiMachineDetail,
  ApiMachineState,
  ApiMachines,
  ApiQueue,
  ApiQueueRow,
  ApiTimeline,
} from "../api/types.js";
import { attempt, reason, reasonCounts, runningStep } from "./common.js";
import {
  choice,
  count,
  derivation,
  flag,
  integer,
  list,
  type Members,
  named,
  number,
  object,
  orNull,
  text,
  time,
} from "./schema.js";

const machineMembers: Members<ApiMachine> = {
  id: text("The id that the machine chose for itself"),
  name: text("Host name; where several have it, with the begin of the id"),
  state: choice<ApiMachineState>({
    idle: "has nothing to do",
    building: "has work and room for more",
    full: "as many builds as it takes",
    held: "gets nothing for a while, after failures",
    draining: "gets nothing until it is resumed",
    limited: "a limit keeps it from taking more",
    silent: "has not sent a ping",
    disconnected: "its connection is lost",
  }),
  words: text("The state with the figure that decides"),
  until: orNull(time("End of a hold")),
  systems: list(text()),
  features: list(text()),
  mandatoryFeatures: list(text()),
  jobs: count(),
  slots: count(),
  speedFactor: number(),
  cpuCount: count(),
  load1: number(),
  cpuPressure: orNull(number("Percent, average over 10 s; null: the kernel does not report it")),
  memoryPressure: orNull(number()),
  ioPressure: orNull(number()),
  memoryUsed: count("Bytes"),
  memoryTotal: count("Bytes"),
  storeFree: orNull(number("Percent")),
  buildDirFree: orNull(number("Percent")),
  joinedAt: time(),
  lastPing: time("0: none yet"),
  idleSince: orNull(time()),
  done: count("Steps that succeeded since it joined"),
  failed: count("Steps that failed since it joined"),
  uploads: count("Uploads in progress"),
};

/** `GET /api/machines`. */
export const machines = named(
  "Machines",
  "Machines that are connected, by name",
  object<ApiMachines>({
    now: time(),
    machines: list(named("Machine", "A machine that is connected", object<ApiMachine>(machineMembers))),
  }),
);

/** `GET /api/machines/{name}`. */
export const machineDetail = named(
  "MachineDetail",
  "A machine with what it does and did",
  object<ApiMachineDetail>({
    ...machineMembers,
    now: time(),
    nixVersion: text(),
    peer: orNull(text("Address of its connection")),
    load5: number(),
    load15: number(),
    running: list(runningStep),
    history: list(attempt, "Attempts of the last 24 h that are over, newest first; at most 100"),
    limits: list(
      object<ApiMachineDetail["limits"][number]>({
        what: text(),
        value: orNull(number()),
        limit: number(),
      }),
      "Limits that hold it back from new steps, with what they are compared with",
    ),
  }),
);

const queueRow = named(
  "QueueRow",
  "A step of the queue",
  object<ApiQueueRow>({
    drv: derivation(),
    name: text(),
    system: text(),
    reason,
    why: text("Why it does not run, in words"),
    build: orNull(integer()),
    jobset: orNull(text("`project:jobset`")),
    job: orNull(text()),
    tries: count(),
    since: orNull(time("When it became runnable; null: it never was")),
    dependents: count("Steps that wait for it"),
  }),
);

/** `GET /api/queue`. */
export const queue = named(
  "Queue",
  "A part of the queue",
  object<ApiQueue>({
    now: time(),
    rows: list(queueRow, "In the order in which the scheduler would start them"),
    total: count("Rows that match, also beyond this part"),
    cursor: orNull(text("For the next part; null: this is the last one")),
    systems: list(
      object<ApiQueue["systems"][number]>({ system: text(), ready: count(), reasons: reasonCounts }),
    ),
  }),
);

/** `GET /api/timeline`. */
export const timeline = named(
  "Timeline",
  "What ran where in a span of time",
  object<ApiTimeline>({
    now: time(),
    from: time(),
    to: time(),
    machines: list(
      object<ApiTimeline["machines"][number]>({ name: text(), slots: count("0: not connected now") }),
    ),
    attempts: list(attempt, "By begin"),
    truncated: flag("More ran in that time; the oldest are left out"),
  }),
);
