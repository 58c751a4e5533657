/** Spans of OpenTelemetry as plain data: what happened from when to when, in which trace, below which other span. */

/** Names a span, in its process and in others. */
export interface SpanContext {
  /** 32 hexadecimal digits, not all 0. */
  readonly traceId: string;
  /** 16 hexadecimal digits, not all 0. */
  readonly spanId: string;
  /** The trace is recorded. */
  readonly sampled: boolean;
}

/** The parent span, and whether it belongs to another process. */
export interface ParentContext extends SpanContext {
  readonly remote: boolean;
}

/** What an attribute may hold. */
export type AttributeValue = string | number | boolean | readonly string[];

/** Attributes by name; `undefined` is left out. */
export type Attributes = Readonly<Record<string, AttributeValue | undefined>>;

/** What a span is to its neighbours: answers a request, makes one, or neither. */
export type SpanKind = "internal" | "server" | "client";

/** A span that is over. */
export interface Span {
  readonly context: SpanContext;
  /** Undefined: the root of its trace. */
  readonly parent: ParentContext | undefined;
  readonly name: string;
  readonly kind: SpanKind;
  /** Milliseconds since the epoch. */
  readonly startMs: number;
  /** Milliseconds since the epoch; counts as `startMs` when it is before that. */
  readonly endMs: number;
  readonly attributes: Attributes;
  /** What went wrong; undefined: nothing. */
  readonly error: string | undefined;
  /** Spans that this one has to do with besides its parent. */
  readonly links: readonly SpanContext[];
}

/** Takes spans that are over; does not wait and does not throw. */
export type SpanSink = (span: Span) => void;

/** What every span says besides its context and its times; the rest has defaults. */
export type SpanDetails = Pick<Span, "name" | "startMs" | "endMs"> &
  Partial<Pick<Span, "kind" | "attributes" | "error" | "links">>;

/** A span with what it does not say filled in: internal, no attributes, no error, no links. */
export function newSpan(context: SpanContext, parent: ParentContext | undefined, details: SpanDetails): Span {
  return { kind: "internal", attributes: {}, error: undefined, links: [], ...details, context, parent };
}
