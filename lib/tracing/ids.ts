/**
 * Identifiers of traces and spans.
 *
 * The trace of a build and the span of an attempt are derived from what they stand for: so builds that a builder goes on
 * with while the runner is restarted stay in their trace, and two runners that take turns write into the same one.
 * Everything else is random. The hash keeps the identifier of an attempt secret, which proves a report.
 */
import { createHash, randomBytes } from "node:crypto";
import type { SpanContext } from "./span.js";

const traceBytes = 16;
const spanBytes = 8;

function digest(bytes: number, ...parts: readonly string[]): string {
  const hash = createHash("sha256");
  // With its length in front, no part can be mistaken for a piece of the next.
  for (const part of parts) hash.update(`${Buffer.byteLength(part)}:${part}`);
  return hash.digest("hex").slice(0, 2 * bytes);
}

/** The trace of a build: the same for every runner of its database. `job`: `project:jobset:job`. */
export function traceIdOfBuild(build: number, job: string): string {
  return digest(traceBytes, "build", String(build), job);
}

/** The span of an attempt at a step; says nothing about `attempt`, which is a secret. */
export function spanIdOfAttempt(attempt: string): string {
  return digest(spanBytes, "attempt", attempt);
}

/** A trace of its own. */
export function newTraceId(): string {
  return randomBytes(traceBytes).toString("hex");
}

/** The id of a new span. */
export function newSpanId(): string {
  return randomBytes(spanBytes).toString("hex");
}

/** A new span in the trace of `parent`. */
export function childOf({ traceId, sampled }: SpanContext): SpanContext {
  return { traceId, spanId: newSpanId(), sampled };
}
