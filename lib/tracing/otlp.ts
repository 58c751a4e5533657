/**
 * Spans as the body of an OTLP request in JSON: https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding
 * (`ExportTraceServiceRequest` of opentelemetry-proto 1.x; ids in hexadecimal digits, 64-bit numbers as text).
 */
import type { Attributes, AttributeValue, ParentContext, Span, SpanContext, SpanKind } from "./span.js";

/** Characters of a text that are sent: an error of a build can quote its whole log. */
const longestText = 2_000;

/** `Span.SpanKind` */
const kinds: Readonly<Record<SpanKind, number>> = { internal: 1, server: 2, client: 3 };
/** `Status.StatusCode.STATUS_CODE_ERROR` */
const errorCode = 2;
/** `SpanFlags`: the trace flags, whether it is known where the parent is, and that it is in another process. */
const flag = { sampled: 0x01, hasIsRemote: 0x100, isRemote: 0x200 } as const;

/** Who reports spans. */
export interface SpanSource {
  /** Attributes of the process. */
  readonly resource: Attributes;
  /** Name and version of the code that makes the spans. */
  readonly scope: { readonly name: string; readonly version: string };
}

/** The body of the request; `JSON.parse` gives an `ExportTraceServiceRequest`. */
export function encodeSpans({ resource, scope }: SpanSource, spans: readonly Span[]): string {
  return JSON.stringify({
    resourceSpans: [
      {
        resource: { attributes: attributesOf(resource) },
        scopeSpans: [{ scope, spans: spans.map(spanOf) }],
      },
    ],
  });
}

function spanOf({ context, parent, name, kind, startMs, endMs, attributes, error, links }: Span) {
  return {
    traceId: context.traceId,
    spanId: context.spanId,
    ...(parent === undefined ? {} : { parentSpanId: parent.spanId }),
    flags: flagsOf(context, parent),
    name,
    kind: kinds[kind],
    startTimeUnixNano: nanoseconds(startMs),
    endTimeUnixNano: nanoseconds(Math.max(startMs, endMs)),
    attributes: attributesOf(attributes),
    ...(links.length === 0 ? {} : { links: links.map(({ traceId, spanId }) => ({ traceId, spanId })) }),
    status: error === undefined ? {} : { code: errorCode, message: cut(error) },
  };
}

function flagsOf({ sampled }: SpanContext, parent: ParentContext | undefined): number {
  return (sampled ? flag.sampled : 0) | flag.hasIsRemote | (parent?.remote === true ? flag.isRemote : 0);
}

function nanoseconds(ms: number): string {
  return `${Math.round(ms)}000000`;
}

function attributesOf(attributes: Attributes) {
  return Object.entries(attributes).flatMap(([key, value]) =>
    value === undefined ? [] : [{ key, value: anyValue(value) }],
  );
}

function anyValue(value: AttributeValue): object {
  if (typeof value === "string") return { stringValue: cut(value) };
  if (typeof value === "boolean") return { boolValue: value };
  if (typeof value === "number") {
    return Number.isSafeInteger(value) ? { intValue: String(value) } : { doubleValue: value };
  }
  return { arrayValue: { values: value.map((text) => ({ stringValue: cut(text) })) } };
}

function cut(text: string): string {
  return text.length <= longestText ? text : `${text.slice(0, longestText)}…`;
}
