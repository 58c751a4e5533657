/** The header of W3C Trace Context, ids that both programs know, and samplers that agree. */
import { describe, expect, it } from "vitest";
import { newSpanId, newTraceId, spanIdOfAttempt, traceIdOfBuild } from "../../lib/tracing/ids.js";
import { samplerNames, samplerOf } from "../../lib/tracing/sampler.js";
import { parseTraceparent, printTraceparent } from "../../lib/tracing/traceparent.js";

const traceId = "4bf92f3577b34da6a3ce929d0e0e4736";
const spanId = "00f067aa0ba902b7";

describe("traceparent", () => {
  it("is read as it is written", () => {
    for (const sampled of [true, false]) {
      const context = { traceId, spanId, sampled };
      expect(parseTraceparent(printTraceparent(context))).toEqual(context);
    }
    expect(printTraceparent({ traceId, spanId, sampled: true })).toBe(`00-${traceId}-${spanId}-01`);
  });

  it("of a later version is read as far as it is known", () => {
    expect(parseTraceparent(`01-${traceId}-${spanId}-03-more`)).toEqual({ traceId, spanId, sampled: true });
  });

  it.each([
    undefined,
    "",
    `ff-${traceId}-${spanId}-01`,
    `00-${"0".repeat(32)}-${spanId}-01`,
    `00-${traceId}-${"0".repeat(16)}-01`,
    `00-${traceId.toUpperCase()}-${spanId}-01`,
    `00-${traceId}-${spanId}-01-more`,
    `00-${traceId}-${spanId}`,
    `00-${traceId}-${spanId}-01\n`,
    `01-${traceId}-${spanId}-01-${"a".repeat(300)}`,
  ])("%j counts as none", (text) => {
    expect(parseTraceparent(text)).toBeUndefined();
  });
});

describe("ids", () => {
  it("of a build and an attempt are always the same, and tell nothing of the attempt", () => {
    expect(traceIdOfBuild(7, "p:j:hello")).toBe(traceIdOfBuild(7, "p:j:hello"));
    expect(traceIdOfBuild(7, "p:j:hello")).not.toBe(traceIdOfBuild(8, "p:j:hello"));
    expect(traceIdOfBuild(7, "p:j:hello")).not.toBe(traceIdOfBuild(7, "q:j:hello"));
    expect(traceIdOfBuild(7, "p:j:hello")).toMatch(/^[0-9a-f]{32}$/);
    const attempt = "01234567-89ab-4def-8123-456789abcdef";
    expect(spanIdOfAttempt(attempt)).toMatch(/^[0-9a-f]{16}$/);
    expect(attempt.replaceAll("-", "")).not.toContain(spanIdOfAttempt(attempt));
  });

  it("are new each time otherwise", () => {
    expect(new Set([1, 2, 3].map(newTraceId)).size).toBe(3);
    expect(new Set([1, 2, 3].map(newSpanId)).size).toBe(3);
  });
});

describe("a sampler", () => {
  const parent = (sampled: boolean) => ({ traceId, spanId, sampled });
  const ask = (name: string, ratio = 1) => {
    const sampler = samplerOf(name, ratio);
    return [undefined, parent(true), parent(false)].map((above) => sampler?.(traceId, above));
  };

  it("answers by its name, and after its parent if it is based on that", () => {
    expect(ask("always_on")).toEqual([true, true, true]);
    expect(ask("always_off")).toEqual([false, false, false]);
    expect(ask("traceidratio", 0)).toEqual([false, false, false]);
    expect(ask("traceidratio", 1)).toEqual([true, true, true]);
    expect(ask("parentbased_always_on")).toEqual([true, true, false]);
    expect(ask("parentbased_always_off")).toEqual([false, true, false]);
    expect(ask("parentbased_traceidratio", 0)).toEqual([false, true, false]);
    expect(samplerNames).toHaveLength(6);
    for (const name of ["", "parentbased_", "jaeger_remote", "toString"]) {
      expect(samplerOf(name, 1), name).toBeUndefined();
    }
  });

  it("by ratio takes that part of all traces, and of a larger ratio the same ones and more", () => {
    const ids = Array.from({ length: 20_000 }, (_, build) => traceIdOfBuild(build, "p:j:x"));
    const taken = (ratio: number): string[] =>
      ids.filter((id) => samplerOf("traceidratio", ratio)?.(id, undefined));
    const [tenth, half] = [taken(0.1), new Set(taken(0.5))];
    expect(tenth.length / ids.length).toBeCloseTo(0.1, 1);
    expect(half.size / ids.length).toBeCloseTo(0.5, 1);
    expect(tenth.every((id) => half.has(id))).toBe(true);
  });
});
