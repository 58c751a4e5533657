/** The header `traceparent` of W3C Trace Context (level 1 and 2), in which a span goes from one process to another. */
import type { SpanContext } from "./span.js";

const form = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
const sampledFlag = 0x01;

/** Version 00. */
export function printTraceparent({ traceId, spanId, sampled }: SpanContext): string {
  return `00-${traceId}-${spanId}-${sampled ? "01" : "00"}`;
}

/** Undefined for what the standard tells to ignore: another form, ids of zeros only, the version ff. */
export function parseTraceparent(text: string | undefined): SpanContext | undefined {
  if (text === undefined || text.length > 200) return undefined;
  const [, version, traceId = "", spanId = "", flags = "", rest] = form.exec(text) ?? [];
  if (version === undefined || version === "ff") return undefined;
  // A later version may say more behind the flags; this one may not.
  if (version === "00" && rest !== undefined) return undefined;
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined;
  return { traceId, spanId, sampled: (Number.parseInt(flags, 16) & sampledFlag) !== 0 };
}
