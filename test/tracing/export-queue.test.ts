/** Spans on their way to a collector that works, is away, is silent, refuses, or lies: a bounded queue, said once. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Secret } from "../../lib/config/secret.js";
import { createLogger } from "../../lib/log.js";
import { Collector } from "../../lib/tracing/collector.js";
import { type ExportLimits, ExportQueue } from "../../lib/tracing/export-queue.js";
import { newSpan, type Span } from "../../lib/tracing/span.js";
import { attributesOf, OtlpCollector } from "../support/otlp-collector.js";
import { until } from "../support/until.js";

let collector: OtlpCollector;
let lines: string[];
const opened: (() => Promise<void>)[] = [];

beforeEach(async () => {
  collector = await OtlpCollector.start();
  lines = [];
});
afterEach(async () => {
  for (const close of opened.splice(0)) await close();
  await collector[Symbol.asyncDispose]();
});

const context = { traceId: "a".repeat(32), spanId: "b".repeat(16), sampled: true };
const span = (name: string): Span => newSpan(context, undefined, { name, startMs: 5, endMs: 4 });

function queueTo(
  url: string,
  limits: Partial<ExportLimits> = {},
  { timeoutMs = 5_000, gzip = false } = {},
): ExportQueue {
  const logger = createLogger({ target: "t", write: (line) => lines.push(line.replace(/^\S+ +/, "")) });
  const sender = new Collector({
    endpoint: new URL(`${url}/v1/traces`),
    headers: new Map([["x-key", new Secret("hunter2")]]),
    timeoutMs,
    gzip,
  });
  const queue = new ExportQueue({
    collector: sender,
    source: { resource: { "service.name": "s" }, scope: { name: "n", version: "1" } },
    limits: { queue: 100, batch: 10, delayMs: 20, ...limits },
    endpoint: "the collector",
    logger,
  });
  opened.push(async () => {
    await queue.close(0);
    sender[Symbol.dispose]();
  });
  return queue;
}

describe("a collector that works", () => {
  it.each([true, false])("gets every span once, compressed: %s", async (gzip) => {
    const queue = queueTo(collector.url, {}, { gzip });
    for (let index = 0; index < 35; index++) queue.add(span(`span ${index}`));
    await until("all spans", async () => collector.spans.length === 35);
    expect(new Set(collector.spans.map(({ name }) => name)).size).toBe(35);
    expect(collector.requests[0]).toMatchObject({ url: "/v1/traces", headers: { "x-key": "hunter2" } });
    expect(queue.dropped).toBe(0);
    expect(lines).toEqual([]);
  });

  it("gets the last ones at the close", async () => {
    const queue = queueTo(collector.url, { delayMs: 60_000 });
    queue.add(span("last"));
    await queue.close(5_000);
    expect(collector.spans.map(({ name }) => name)).toEqual(["last"]);
    queue.add(span("too late"));
    expect(queue.dropped).toBe(1);
  });

  it("gets spans in the form of the protocol, cut where they are long", async () => {
    const queue = queueTo(collector.url);
    const attributes = {
      text: "x".repeat(5_000),
      count: 2 ** 40,
      part: 0.5,
      yes: true,
      none: undefined,
      list: ["a"],
    };
    const remote = { ...context, spanId: "c".repeat(16), remote: true };
    queue.add(
      newSpan(context, remote, { name: "n", startMs: 5, endMs: 4, attributes, error: "e", links: [remote] }),
    );
    const received = await until("the span", async () => collector.spans[0]);
    expect(received).toMatchObject({
      traceId: context.traceId,
      spanId: context.spanId,
      parentSpanId: remote.spanId,
      flags: 0x301,
      kind: 1,
      startTimeUnixNano: "5000000",
      endTimeUnixNano: "5000000",
      status: { code: 2, message: "e" },
      links: [{ traceId: context.traceId, spanId: remote.spanId }],
      resource: { "service.name": "s" },
    });
    const { text, list, ...rest } = attributesOf(received.attributes);
    expect(String(text)).toHaveLength(2_001);
    expect(list).toEqual({ values: [{ stringValue: "a" }] });
    expect(rest).toEqual({ count: String(2 ** 40), part: 0.5, yes: true });
  });
});

describe("a collector that is away", () => {
  it("costs the spans that are over the limit, and is said once at its begin and once at its end", async () => {
    collector.misbehaviour = (response) => response.destroy();
    const queue = queueTo(collector.url, { queue: 20 });
    for (let index = 0; index < 50; index++) queue.add(span(`span ${index}`));
    await until("the second try", async () => collector.requests.length >= 2);
    expect(queue.dropped).toBe(30);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(/^WARN t: traces cannot be sent; trying again endpoint="the collector" reason=/);
    collector.misbehaviour = undefined;
    await until("those that waited", async () => collector.spans.length === 20, { timeoutMs: 20_000 });
    await until("the end", async () => lines.length === 2);
    expect(lines[1]).toBe('INFO t: traces are sent again endpoint="the collector" dropped=0');
    expect(lines.join()).not.toContain("hunter2");
  }, 30_000);

  it("does not hold up the close", async () => {
    collector.misbehaviour = () => undefined;
    const queue = queueTo(collector.url, {}, { timeoutMs: 60_000 });
    queue.add(span("lost"));
    await until("the request", async () => collector.requests.length === 1);
    const begun = Date.now();
    await queue.close(100);
    expect(Date.now() - begun).toBeLessThan(5_000);
    expect(lines).toContain('WARN t: spans were dropped spans=1 endpoint="the collector"');
  });

  it("is asked again no sooner than it says", async () => {
    collector.misbehaviour = (response) => response.writeHead(503, { "retry-after": "3" }).end();
    const queue = queueTo(collector.url);
    queue.add(span("patient"));
    await until("the request", async () => collector.requests.length === 1);
    collector.misbehaviour = undefined;
    const begun = Date.now();
    await until("the span", async () => collector.spans.length === 1, { timeoutMs: 20_000 });
    expect(Date.now() - begun).toBeGreaterThan(2_500);
  }, 30_000);

  it("is noticed when it is silent", async () => {
    collector.misbehaviour = () => undefined;
    queueTo(collector.url, {}, { timeoutMs: 100 }).add(span("silent"));
    await until("the warning", async () => lines.length > 0);
    expect(lines[0]).toContain('reason="no answer within 100 ms"');
  });
});

describe("a collector that answers badly", () => {
  it("and refuses for good gets the spans no second time, which is said once", async () => {
    collector.misbehaviour = (response) => response.writeHead(401).end("hunter2 is not the key");
    const queue = queueTo(collector.url);
    for (let index = 0; index < 20; index++) queue.add(span(`span ${index}`));
    await until("the loss", async () => queue.dropped === 20);
    expect(lines).toEqual([
      'WARN t: the collector refuses traces; they are dropped endpoint="the collector" reason="the collector answered 401"',
    ]);
  });

  it("and rejects some spans is counted, and said once", async () => {
    const partialSuccess = { rejectedSpans: "3", errorMessage: "too old" };
    collector.misbehaviour = (response) => response.writeHead(200).end(JSON.stringify({ partialSuccess }));
    const queue = queueTo(collector.url);
    for (let index = 0; index < 20; index++) queue.add(span(`span ${index}`));
    await until("both", async () => queue.rejected === 6);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain("spans=3");
  });

  it.each([
    ["an endless answer", "x".repeat(1 << 20)],
    ["no JSON", "<html>"],
    ["an odd number", '{"partialSuccess":{"rejectedSpans":-1e99}}'],
    ["null", "null"],
  ])("with %s is believed by its status alone", async (_, text) => {
    collector.misbehaviour = (response) => {
      response.writeHead(200);
      response.write(text, () => (text.length > 1000 ? undefined : response.end()));
    };
    const queue = queueTo(collector.url);
    queue.add(span("one"));
    await until("the request", async () => collector.requests.length === 1);
    queue.add(span("two"));
    await until("the next", async () => collector.requests.length === 2);
    expect(queue.dropped + queue.rejected).toBe(0);
  });

  it("with a redirect is not followed: the headers are for it alone", async () => {
    await using other = await OtlpCollector.start();
    collector.misbehaviour = (response) =>
      response.writeHead(307, { location: `${other.url}/v1/traces` }).end();
    const queue = queueTo(collector.url);
    queue.add(span("one"));
    await until("the loss", async () => queue.dropped === 1);
    expect(other.requests).toEqual([]);
  });
});
