/** What is counted of steps, builds and machines: by their events, each try once. */
import { setImmediate as turn } from "node:timers/promises";
import { expect, it } from "vitest";
import { parseStorePath } from "../../../lib/nix/path/store-path.js";
import {
  EventBus,
  type EventTry,
  type StepFinished,
  type StepRetried,
} from "../../../lib/runner/events/index.js";
import { RunnerCounters } from "../../../lib/runner/state/counters.js";
import { Metrics } from "../../../lib/status/index.js";

const drv = parseStorePath(`${"a".repeat(32)}-hello-1.0.drv`);
const about = {
  drv,
  name: "hello-1.0",
  system: "x86_64-linux",
  build: 7,
  project: "p",
  jobset: "j",
  job: "hello",
  ownBuilds: [7],
};
const step: EventTry = { ...about, machine: { id: "m1", hostname: "pine" }, try: 2 };
const { try: _, ...place } = step;
const reported = { startedAt: 1_000, stoppedAt: 3_000, importMs: 100, buildMs: 1_500, uploadMs: 200 };
const silent = { startedAt: 1_000, stoppedAt: 3_000 };
const finished: StepFinished = {
  type: "stepFinished",
  at: 4_000,
  ...place,
  outcome: { kind: "succeeded" },
  tries: 2,
  started: true,
  times: reported,
};
const retried: StepRetried = {
  type: "stepRetried",
  at: 4_000,
  ...step,
  reason: "lost",
  retryAt: 9_000,
  counts: true,
  started: true,
  times: silent,
};

function setup() {
  const events = new EventBus();
  const metrics = new Metrics();
  const counters = new RunnerCounters(metrics, events);
  const text = async (pattern: RegExp): Promise<readonly string[]> => {
    const lines = (await metrics.registry.metrics()).split("\n");
    return lines.filter((line) => pattern.test(line));
  };
  return { events, metrics, counters, text };
}

it("counts starts with their waits, and not those that were adopted", async () => {
  const { events, metrics, text } = setup();
  const started = { type: "stepStarted", at: 5, ...step, waitedMs: 2_500 } as const;
  events.emit({ ...started, adopted: false });
  events.emit({ ...started, adopted: true });
  await turn();
  expect(metrics.value("stepsStarted")).toBe(1);
  expect(await text(/job_wait_time_seconds_(?:sum|count)/)).toEqual([
    expect.stringMatching(/_sum\{machine_type="x86_64-linux"\} 2\.5$/),
    expect.stringMatching(/_count\{machine_type="x86_64-linux"\} 1$/),
  ]);
});

it("counts what a builder reported, for the process and for its machine", async () => {
  const { events, metrics, counters, text } = setup();
  events.emit(finished);
  events.emit({ ...retried, times: reported });
  await turn();
  expect(metrics.value("stepsFinished")).toBe(2);
  expect(metrics.value("stepsSucceeded")).toBe(1);
  expect(metrics.value("stepsFailed")).toBe(1);
  expect(metrics.value("stepTotalMs")).toBe(6_000);
  expect(counters.timesOf("m1")).toEqual({ totalMs: 6_000, importMs: 200, buildMs: 3_000, uploadMs: 400 });
  expect(await text(/step_duration_seconds_count/)).toHaveLength(2);
  events.emit({ type: "machineLeft", at: 9, machine: step.machine, reason: "heartbeat" });
  await turn();
  expect(metrics.value("machinesLost")).toBe(1);
  expect(counters.timesOf("m1").totalMs).toBe(0);
});

it("counts tries without a report as failed and without times, and none that never reached its machine", async () => {
  const { events, metrics, text } = setup();
  events.emit(retried);
  events.emit({ ...finished, outcome: { kind: "cancelled", wantedAgain: false }, times: silent });
  events.emit({ ...retried, counts: false, try: 5, started: false });
  await turn();
  expect(metrics.value("stepsFinished")).toBe(2);
  expect(metrics.value("stepsFailed")).toBe(2);
  expect(metrics.value("stepTotalMs")).toBe(0);
  expect(metrics.value("abortedJobs")).toBe(1);
  expect(metrics.value("retries")).toBe(2);
  expect(metrics.maxTries).toBe(4);
  expect(await text(/step_duration_seconds_count/)).toEqual([]);
});

it("counts results of builds, and steps that no machine supports", async () => {
  const { events, metrics } = setup();
  const { machine: _machine, times: _times, ...untried } = finished;
  const unsupported = { kind: "failed", status: 9, builds: 1 } as const;
  events.emit({ ...untried, outcome: unsupported, tries: 0, started: false });
  const build = { build: 7, project: "p", jobset: "j", job: "hello", drv, queuedAt: 1 };
  events.emit({ type: "buildFinished", at: 5, ...build, status: 9, durationMs: 0, cached: false });
  await turn();
  expect(metrics.value("unsupportedStepsAborted")).toBe(1);
  expect(metrics.value("buildsFinished")).toBe(1);
  expect(metrics.value("stepsFinished")).toBe(0);
});
