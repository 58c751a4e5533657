/** Spans of a runner and a builder from what happens: retries, builders that do not trace, shared steps, restarts. */
import { describe, expect, it } from "vitest";
import type { BuildEvent } from "../../lib/builder/index.js";
import { parseStorePath } from "../../lib/nix/path/store-path.js";
import type { RunnerEvent } from "../../lib/runner/events/index.js";
import { BuilderSpans } from "../../lib/tracing/builder-spans.js";
import { RunnerSpans } from "../../lib/tracing/runner-spans.js";
import { type Sampler, samplerOf } from "../../lib/tracing/sampler.js";
import type { Span } from "../../lib/tracing/span.js";

const always: Sampler = () => true;
const drv = parseStorePath(`${"a".repeat(32)}-hello-1.0.drv`);
const build = { build: 7, project: "p", jobset: "j", job: "hello", drv, queuedAt: 100 };
const { queuedAt: _, ...accounted } = build;
const machine = { id: "m-1", hostname: "pine" };
const step = { ...accounted, name: "hello-1.0", system: "x86_64-linux", ownBuilds: [7] };
const started = { type: "stepStarted", ...step, machine, adopted: false } as const;
const times = (startedAt: number, stoppedAt: number) => ({ startedAt, stoppedAt });
const finished = { type: "stepFinished", ...step, started: true, machine } as const;
const traced = (attempt: string, number = 1) => ({ ...step, machine, try: number, attempt });

function spansOf(events: readonly RunnerEvent[], sampler = always, frontendUrl?: () => string | undefined) {
  const spans: Span[] = [];
  const maker = new RunnerSpans({ sink: (span) => spans.push(span), sampler, frontendUrl });
  for (const event of events) maker.add(event);
  return spans;
}

/** `name start-end` below the name of the parent. */
function tree(spans: readonly Span[]): string[] {
  return spans.map((span) => {
    const above = spans.find(({ context }) => context.spanId === span.parent?.spanId);
    return `${above?.name ?? "-"} > ${span.name} ${span.startMs}-${span.endMs}${span.error === undefined ? "" : ` ! ${span.error}`}`;
  });
}

const success: readonly RunnerEvent[] = [
  { ...started, at: 210, try: 1, waitedMs: 60 },
  {
    ...finished,
    at: 900,
    tries: 1,
    outcome: { kind: "succeeded" },
    times: { ...times(200, 880), importMs: 100, buildMs: 400, uploadMs: 50 },
    resources: { source: "samples", cpuUserMs: 350 },
  },
  {
    type: "uploadFinished",
    at: 940,
    paths: [],
    drv,
    ms: 45,
    outcome: { kind: "uploaded" },
    stores: [
      {
        store: "c",
        tries: 2,
        lastTries: [
          { at: 900, ms: 5, outcome: { kind: "failed", reason: "away" } },
          { at: 940, ms: 30, outcome: { kind: "uploaded", written: 1 } },
        ],
      },
    ],
  },
  { type: "buildFinished", at: 950, ...build, status: 0, durationMs: 700, cached: false },
  { type: "stepRecorded", at: 955, ...step, machine, try: 1, ms: 75 },
];

describe("a build with one step", () => {
  it("is a tree of what took time", () => {
    expect(tree(spansOf(success))).toEqual([
      "hello-1.0 > queue wait 150-200",
      "hello-1.0 > attempt 200-880",
      "attempt > upload 830-880",
      "attempt > build 430-830",
      "attempt > inputs 330-430",
      "hello-1.0 > cache upload 895-900 ! away",
      "hello-1.0 > cache upload 910-940",
      "hello-1.0 > record 880-955",
      "BUILD p:j:hello > hello-1.0 150-955",
      "- > BUILD p:j:hello 100-955",
    ]);
  });

  it("says what it used, and where to look at it", () => {
    const spans = spansOf(success, always, () => "https://hydra.example.org/");
    const attributes = Object.assign({}, ...spans.map((span) => span.attributes));
    expect(attributes).toMatchObject({
      "hydra.attempt.cpu_user_ms": 350,
      "cicd.pipeline.run.url.full": "https://hydra.example.org/build/7",
      "cicd.pipeline.result": "success",
      "cicd.worker.name": "pine",
    });
  });

  it("leaves the builder's part to a builder that traces", () => {
    const traceparent = `00-${"1".repeat(32)}-${"2".repeat(16)}-01`;
    const events = success.map((event) =>
      event.type === "stepFinished" ? { ...event, traceparent } : event,
    );
    const spans = spansOf(events);
    expect(spans.map(({ name }) => name)).not.toContain("inputs");
    // Which is in a trace of its own, for some reason.
    const attempt = spans.find(({ name }) => name === "attempt");
    expect(attempt?.links).toEqual([{ traceId: "1".repeat(32), spanId: "2".repeat(16), sampled: true }]);
  });

  it("is nothing when its trace is not sampled, and the builder hears that", () => {
    const spans: Span[] = [];
    const maker = new RunnerSpans({ sink: (span) => spans.push(span), sampler: () => false });
    expect(maker.contextOf(traced("secret"))).toMatch(/-00$/);
    for (const event of success) maker.add(event);
    expect(spans).toEqual([]);
  });
});

it("each try is a wait and an attempt", () => {
  const spans = spansOf([
    { ...started, at: 200, try: 1, waitedMs: 0 },
    {
      type: "stepRetried",
      ...step,
      machine,
      at: 300,
      try: 1,
      reason: "disk full",
      retryAt: 400,
      counts: true,
      started: true,
      times: times(200, 300),
    },
    { type: "stepRecorded", at: 310, ...step, machine, try: 1, ms: 10 },
    { ...started, at: 450, try: 2, waitedMs: 50 },
    {
      ...finished,
      at: 500,
      tries: 2,
      outcome: { kind: "failed", status: 1, builds: 1 },
      times: times(450, 490),
      reason: "exit code 1",
    },
    { type: "stepRecorded", at: 520, ...step, machine, try: 2, ms: 30 },
    { type: "buildFinished", at: 520, ...build, status: 1, durationMs: 50, cached: false },
  ]);
  expect(tree(spans)).toEqual([
    "hello-1.0 > queue wait 200-200",
    "hello-1.0 > attempt 200-300 ! disk full",
    "hello-1.0 > record 300-310",
    "hello-1.0 > queue wait 400-450",
    "hello-1.0 > attempt 450-490 ! exit code 1",
    "hello-1.0 > record 490-520",
    "BUILD p:j:hello > hello-1.0 200-520 ! exit code 1",
    "- > BUILD p:j:hello 100-520 ! failed",
  ]);
  const ids = spans.map(({ context }) => context.spanId);
  expect(new Set(ids).size).toBe(ids.length);
});

it("a step whose build left after a try, and that another build wants later, goes on in the trace of that one", () => {
  const other = { build: 8, project: "p", jobset: "j", job: "again", ownBuilds: [8] };
  const spans = spansOf([
    { ...started, at: 200, try: 1, waitedMs: 0 },
    {
      type: "stepRetried",
      ...step,
      machine,
      at: 300,
      try: 1,
      reason: "disk full",
      retryAt: 400,
      counts: true,
      started: true,
      times: times(200, 300),
    },
    { type: "buildRemoved", at: 310, ...build },
    { ...started, ...other, at: 450, try: 2, waitedMs: 0 },
    { ...finished, ...other, at: 500, tries: 2, outcome: { kind: "succeeded" }, times: times(450, 490) },
    { type: "stepRecorded", at: 520, ...step, ...other, machine, try: 2, ms: 30 },
    { type: "buildFinished", at: 520, ...build, ...other, status: 0, durationMs: 50, cached: false },
  ]);
  const traces = new Map<string, string[]>();
  for (const { context, name } of spans) {
    traces.set(context.traceId, [...(traces.get(context.traceId) ?? []), name]);
  }
  expect([...traces.values()]).toEqual([
    ["queue wait", "attempt", "BUILD p:j:hello"],
    ["queue wait", "attempt", "record", "hello-1.0", "BUILD p:j:again"],
  ]);
});

it("a step that is never tried is a span all the same", () => {
  const spans = spansOf([
    {
      type: "stepFinished",
      ...step,
      at: 300,
      tries: 0,
      started: false,
      outcome: { kind: "failed", status: 9, builds: 1 },
    },
    { type: "buildFinished", at: 310, ...build, status: 9, durationMs: 0, cached: false },
  ]);
  expect(tree(spans)).toEqual([
    "BUILD p:j:hello > hello-1.0 300-300 ! unsupported",
    "- > BUILD p:j:hello 100-310 ! unsupported",
  ]);
  expect(spans[1]?.attributes).toMatchObject({
    "cicd.pipeline.result": "error",
    "error.type": "unsupported",
  });
});

it("a build whose step was built for another one has a link to it", () => {
  const other = { ...build, build: 8, job: "hello-again" };
  const spans = spansOf([
    ...success,
    { type: "buildFinished", at: 951, ...other, status: 0, durationMs: 700, cached: false },
  ]);
  const [first, second] = spans.filter(({ name }) => name.startsWith("BUILD"));
  const own = spans.find(({ name }) => name === "hello-1.0");
  expect(first?.links).toEqual([]);
  expect(second?.links).toEqual([own?.context]);
  expect(second?.context.traceId).not.toBe(first?.context.traceId);
});

it("a build that left the queue was cancelled, which is no error", () => {
  const [span] = spansOf([{ type: "buildRemoved", at: 300, ...build }]);
  expect(span).toMatchObject({ error: undefined, attributes: { "cicd.pipeline.result": "cancellation" } });
});

it("a runner that took over goes on in the same trace, below the same span of the attempt", () => {
  const contexts = ["one", "two"].map(() => {
    const maker = new RunnerSpans({ sink: () => undefined, sampler: always });
    return maker.contextOf(traced("the secret of the attempt"));
  });
  expect(contexts[0]).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
  expect(contexts[0]).toBe(contexts[1]);
});

describe("a builder", () => {
  const base = { buildId: "secret", drv } as const;
  const events: readonly BuildEvent[] = [
    { kind: "phase", ...base, at: 10, phase: "sendingInputs" },
    { kind: "phase", ...base, at: 20, phase: "building" },
    {
      kind: "finished",
      ...base,
      at: 90,
      state: "buildFailure",
      error: "exit code 1",
      importMs: 10,
      buildMs: 70,
      uploadMs: 0,
    },
  ];

  function builderSpansOf(traceparent?: string, sampler = samplerOf("parentbased_always_on", 1) ?? always) {
    const spans: Span[] = [];
    const maker = new BuilderSpans({ sink: (span) => spans.push(span), sampler });
    maker.add({ kind: "started", ...base, at: 5, ...(traceparent === undefined ? {} : { traceparent }) });
    for (const event of events) maker.add(event);
    return { spans, context: maker.contextOf("secret"), again: maker.contextOf("secret") };
  }

  it("traces below the attempt that its order names", () => {
    const maker = new RunnerSpans({ sink: () => undefined, sampler: always });
    const order = maker.contextOf(traced("secret"));
    const { spans, context, again } = builderSpansOf(order);
    expect(tree(spans)).toEqual([
      "build hello-1.0 > inputs 10-20",
      "build hello-1.0 > build 20-90 ! exit code 1",
      "- > build hello-1.0 5-90 ! exit code 1",
    ]);
    const root = spans[2];
    expect(`00-${root?.parent?.traceId}-${root?.parent?.spanId}-01`).toBe(order);
    expect(root?.parent?.remote).toBe(true);
    expect(context).toBe(`00-${root?.context.traceId}-${root?.context.spanId}-01`);
    expect(again).toBeUndefined();
    expect(JSON.stringify(spans)).not.toContain("secret");
  });

  it("leaves out what the runner does not record, and traces alone where the runner does not trace", () => {
    expect(builderSpansOf(`00-${"1".repeat(32)}-${"2".repeat(16)}-00`).spans).toEqual([]);
    for (const nothing of [undefined, "nonsense"]) {
      const { spans } = builderSpansOf(nothing);
      expect(spans).toHaveLength(3);
      expect(spans[2]?.parent).toBeUndefined();
    }
  });
});
