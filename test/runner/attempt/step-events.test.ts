/** Events of steps: what each end of an attempt becomes, and that secrets stay out. */
import { expect, it } from "vitest";
import { parseStorePath } from "../../../lib/nix/path/store-path.js";
import { StepEvents } from "../../../lib/runner/attempt/step-events.js";
import type { RunnerEvent } from "../../../lib/runner/events/index.js";
import type { Attempt } from "../../../lib/runner/state/attempts.js";
import { attemptId, buildId, jobsetId, machineId, stepId } from "../../../lib/scheduler/ids.js";

const drv = parseStorePath(`${"a".repeat(32)}-hello-1.0.drv`);
const secret = "the-secret-of-the-attempt";

const attempt: Attempt = {
  id: attemptId(secret),
  assignment: {
    attempt: attemptId(secret),
    step: stepId(drv),
    machine: machineId("m1"),
    build: buildId(7),
    ownBuilds: [buildId(7)],
    limits: { maxSilent: 0, timeout: 0 },
    tries: 1,
    runnableSince: 400,
  },
  drv,
  machine: machineId("m1"),
  hostname: "pine",
  startedAt: 900,
  facts: {
    drv,
    name: "hello-1.0",
    system: "x86_64-linux",
    features: [],
    preferLocal: false,
    inputs: [],
    outputs: new Map(),
    needsResolution: false,
    impure: false,
  },
  limits: { maxLogSize: 0, maxOutputSize: 0 },
  jobsets: [],
  row: undefined,
  sent: true,
};

const ended = { attempt: attemptId(secret), machine: machineId("m1"), build: buildId(7), startedAt: 900 };

const row = {
  id: buildId(7),
  jobset: jobsetId(1),
  project: "p",
  jobsetName: "trunk",
  shares: 1,
  job: "hello",
  drv,
  timestamp: 0,
  takenAt: 0,
  maxSilent: undefined,
  timeout: undefined,
  localPriority: 0,
  globalPriority: 0,
};

function setup() {
  const emitted: RunnerEvent[] = [];
  const stepEvents = new StepEvents({
    events: { emit: (event) => emitted.push(event) },
    registry: { get: (id) => (id === 7 ? row : undefined) },
    machines: { hostnameOf: () => "pine" },
    now: () => 1_000,
  });
  return { emitted, stepEvents };
}

const about = {
  drv,
  name: "hello-1.0",
  system: "x86_64-linux",
  build: 7,
  project: "p",
  jobset: "trunk",
  job: "hello",
  ownBuilds: [7],
};
const machine = { id: "m1", hostname: "pine" };

it("tells of a start: which try, where, and after what wait", () => {
  const { emitted, stepEvents } = setup();
  stepEvents.started(attempt);
  stepEvents.started({ ...attempt, adopted: true });
  expect(emitted).toEqual([
    { type: "stepStarted", at: 1_000, ...about, machine, try: 2, waitedMs: 600, adopted: false },
    { type: "stepStarted", at: 1_000, ...about, machine, try: 2, waitedMs: 0, adopted: true },
  ]);
});

it("tells a try that is repeated from one that is the last", () => {
  const { emitted, stepEvents } = setup();
  const retry = { kind: "retry", step: stepId(drv), ended, at: 5_000, reason: "lost" } as const;
  stepEvents.ended(attempt, { ...retry, tries: 2, counts: true });
  stepEvents.ended(attempt, { ...retry, tries: 1, counts: false }, { error: "the disk is full" });
  stepEvents.ended(
    { ...attempt, endedAt: 980 },
    {
      kind: "failed",
      step: stepId(drv),
      ended,
      status: 1,
      reason: "exit 1",
      build: buildId(7),
      builds: [
        { id: buildId(7), own: true },
        { id: buildId(8), own: false },
      ],
      tries: 2,
    },
  );
  const times = { startedAt: 900, stoppedAt: 1_000 };
  const repeated = {
    type: "stepRetried",
    at: 1_000,
    ...about,
    machine,
    try: 2,
    retryAt: 5_000,
    started: true,
    times,
  };
  expect(emitted).toEqual([
    { ...repeated, reason: "lost", counts: true },
    { ...repeated, reason: "the disk is full", counts: false },
    {
      type: "stepFinished",
      at: 1_000,
      ...about,
      outcome: { kind: "failed", status: 1, builds: 2 },
      reason: "exit 1",
      tries: 2,
      started: true,
      machine,
      times: { startedAt: 900, stoppedAt: 980 },
    },
  ]);
});

it("says nothing of reports that are stale, and never the id of an attempt", () => {
  const { emitted, stepEvents } = setup();
  stepEvents.ended(attempt, { kind: "stale" });
  expect(emitted).toEqual([]);
  stepEvents.started(attempt);
  stepEvents.progress(attempt, "building");
  stepEvents.ended(attempt, {
    kind: "finished",
    step: stepId(drv),
    ended,
    ownBuilds: [buildId(7)],
    released: [],
    dynamic: [],
  });
  stepEvents.ended(attempt, { kind: "cancelled", step: stepId(drv), ended, wantedAgain: false });
  expect(emitted.map(({ type }) => type)).toEqual([
    "stepStarted",
    "stepProgress",
    "stepFinished",
    "stepFinished",
  ]);
  expect(JSON.stringify(emitted)).not.toContain(secret);
});

it("tells of a step that no machine supports, without machine and times", () => {
  const { emitted, stepEvents } = setup();
  stepEvents.failed(
    {
      kind: "failed",
      step: stepId(drv),
      ended: undefined,
      status: 9,
      reason: undefined,
      build: buildId(7),
      builds: [{ id: buildId(7), own: true }],
      tries: 0,
    },
    "riscv64-linux",
    "unsupported system type 'riscv64-linux'",
  );
  expect(emitted).toEqual([
    {
      type: "stepFinished",
      at: 1_000,
      ...about,
      system: "riscv64-linux",
      outcome: { kind: "failed", status: 9, builds: 1 },
      reason: "unsupported system type 'riscv64-linux'",
      tries: 0,
      started: false,
    },
  ]);
});

it("tells of a step whose derivation cannot be read, and of a try that never reached its machine", () => {
  const { emitted, stepEvents } = setup();
  const failed = {
    kind: "failed",
    step: stepId(drv),
    ended,
    status: 3,
    reason: "the derivation cannot be read",
    build: buildId(7),
    builds: [{ id: buildId(7), own: true }],
    tries: 5,
  } as const;
  stepEvents.ended(undefined, failed, { error: "not in the store" });
  const retry = { kind: "retry", step: stepId(drv), ended, at: 9 } as const;
  stepEvents.ended(undefined, { ...retry, tries: 2, counts: true, reason: "x" });
  stepEvents.ended(
    { ...attempt, sent: false },
    { ...retry, tries: 1, counts: false, reason: "the machine left" },
  );
  expect(emitted).toMatchObject([
    {
      type: "stepFinished",
      system: "unknown",
      reason: "not in the store",
      tries: 5,
      started: false,
      build: 7,
    },
    { type: "stepRetried", machine, reason: "x", try: 2, counts: true, started: false, system: "unknown" },
    { type: "stepRetried", machine, reason: "the machine left", counts: false, started: false },
  ]);
});
