/** The journal: what each event says as a line. */
import { expect, it } from "vitest";
import { createLogger, type LogLevel } from "../../../lib/log.js";
import { parseStorePath } from "../../../lib/nix/path/store-path.js";
import { EventBus, type RunnerEvent } from "../../../lib/runner/events/index.js";
import { writeJournal } from "../../../lib/runner/events/journal.js";

async function linesOf(events: readonly RunnerEvent[], level: LogLevel = "info"): Promise<string[]> {
  const lines: string[] = [];
  const bus = new EventBus();
  const write = (line: string): void => void lines.push(line.slice(24).trimStart());
  writeJournal(bus, createLogger({ target: "t", level, write }));
  for (const event of events) bus.emit(event);
  await Promise.resolve();
  return lines;
}

const hash = "a".repeat(32);
const drv = parseStorePath(`${hash}-hello.drv`);
const build = { build: 7, project: "p", jobset: "trunk", job: "hello", drv, queuedAt: 0 };
const step = { ...build, name: "hello", system: "x86_64-linux", ownBuilds: [7] };
const machine = { id: "m-1", hostname: "pine" };
const where = `build=7 job=p:trunk:hello drv=${drv} machine=pine`;
const times = { startedAt: 1_000, stoppedAt: 4_000, importMs: 100, buildMs: 2_000, uploadMs: 50 };

it("has a line for each start and end of a step, with the same fields", async () => {
  const resources = { source: "cgroup", cpuUserMs: 1_500, peakMemoryBytes: 1_024 } as const;
  const finished = {
    type: "stepFinished",
    at: 4_000,
    ...step,
    machine,
    tries: 2,
    started: true,
    times,
  } as const;
  expect(
    await linesOf([
      { type: "stepStarted", at: 1_000, ...step, machine, try: 1, waitedMs: 30, adopted: false },
      { type: "stepProgress", at: 1_100, ...step, machine, try: 1, phase: "building" },
      {
        type: "stepRetried",
        at: 2_000,
        ...step,
        machine,
        try: 1,
        reason: "the disk is full",
        retryAt: 60_000,
        counts: true,
        started: true,
        times: { startedAt: 1_000, stoppedAt: 2_000 },
      },
      { type: "stepStarted", at: 3_000, ...step, machine, try: 2, waitedMs: 0, adopted: true },
      { ...finished, outcome: { kind: "succeeded" }, resources },
      { ...finished, outcome: { kind: "failed", status: 1, builds: 3 }, reason: "exit code 1" },
      { ...finished, outcome: { kind: "cancelled", wantedAgain: false } },
    ]),
  ).toEqual([
    `INFO t: step started ${where} try=1 system=x86_64-linux waitedMs=30`,
    `WARN t: step is tried again ${where} try=1 reason="the disk is full" notBefore=1970-01-01T00:01:00.000Z counts=true durationMs=1000`,
    `INFO t: step started ${where} try=2 system=x86_64-linux waitedMs=0 adopted=true`,
    `INFO t: step succeeded ${where} try=2 durationMs=3000 importMs=100 buildMs=2000 uploadMs=50 cpuUserMs=1500 peakMemoryBytes=1024 measuredBy=cgroup`,
    `INFO t: step failed ${where} try=2 reason="exit code 1" durationMs=3000 importMs=100 buildMs=2000 uploadMs=50 status=1 builds=3`,
    `INFO t: step cancelled ${where} try=2 durationMs=3000 importMs=100 buildMs=2000 uploadMs=50 wantedAgain=false`,
  ]);
});

it("has a line for each end of a build, and for what happens to machines", async () => {
  expect(
    await linesOf([
      { type: "buildStarted", at: 1, ...build },
      { type: "buildFinished", at: 1, ...build, status: 0, durationMs: 9, cached: false, machine: "pine" },
      { type: "buildRemoved", at: 1, ...build },
      {
        type: "machineJoined",
        at: 1,
        machine,
        systems: ["x86_64-linux", "i686-linux"],
        maxJobs: 4,
        running: 0,
        peer: "10.0.0.1:7",
      },
      {
        type: "machineHeld",
        at: 1,
        machine,
        until: 60_000,
        reason: "no space",
        fault: "diskFull",
        failures: 3,
        drv,
      },
      { type: "machineReleased", at: 1, machine, because: "trial" },
      { type: "machineLeft", at: 1, machine, reason: "heartbeat" },
    ]),
  ).toEqual([
    `INFO t: build finished build=7 job=p:trunk:hello drv=${drv} machine=pine status=0 durationMs=9 cached=false`,
    `INFO t: build left the queue without a result build=7 job=p:trunk:hello drv=${drv}`,
    'INFO t: machine joined machine=pine id=m-1 systems="x86_64-linux,i686-linux" maxJobs=4 running=0 peer=10.0.0.1:7',
    `WARN t: machine is held: it gets no work for a while machine=pine fault=diskFull reason="no space" drv=${drv} failures=3 until=1970-01-01T00:01:00.000Z`,
    "INFO t: machine is released machine=pine because=trial",
    "INFO t: machine left machine=pine id=m-1 reason=heartbeat",
  ]);
});

it("says that uploads fail and work again once for each store", async () => {
  const paths = [parseStorePath(`${hash}-out`)];
  const retried: RunnerEvent = {
    type: "uploadRetried",
    at: 1,
    paths,
    store: "s3",
    ms: 5,
    reason: "refused",
  };
  const finished = (...stores: string[]): RunnerEvent => ({
    type: "uploadFinished",
    at: 1,
    paths,
    ms: 9,
    outcome: { kind: "uploaded" },
    stores: stores.map((store) => ({
      store,
      tries: 1,
      lastTries: [{ at: 1, ms: 5, outcome: { kind: "uploaded", written: 1, bytes: 3 } }],
    })),
  });
  const events = [
    finished("s3"),
    ...Array.from({ length: 50 }, () => retried),
    finished("file"),
    finished("s3", "file"),
  ];
  expect(await linesOf(events)).toEqual([
    `WARN t: upload failed; it is tried again store=s3 paths=1 path=${hash}-out ms=5 reason=refused`,
    "INFO t: uploads work again store=s3 failed=50",
  ]);
  expect(await linesOf(events, "debug")).toHaveLength(50 + 4 + 1);
});

it("says that uploads work again before one of them is in all its stores", async () => {
  const problem = {
    part: "uploads",
    code: "upload-failing",
    subject: "s3",
    reason: "refused",
    advice: "wait",
    since: 1,
  } as const;
  const lines = await linesOf([
    { type: "uploadRetried", at: 1, paths: [], store: "s3", ms: 5, reason: "refused" },
    { type: "problem", at: 2, change: "ended", problem },
  ]);
  expect(lines.at(-1)).toBe("INFO t: uploads work again store=s3 failed=1");
});
