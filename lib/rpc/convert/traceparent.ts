/**
 * The trace that a call or an order belongs to, as the header `traceparent` of W3C Trace Context. An order has it in a field
 * of our own, since a tunnel's metadata are sent once; calls have it as metadata.
 */

/** Name of the metadata. */
export const traceparentHeader = "traceparent";

/** The text if it may be one, else undefined: no build is refused for its trace. Its parts are for those who trace. */
export function traceparentOf(value: string | readonly string[] | undefined): string | undefined {
  return typeof value === "string" && /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/.test(value)
    ? value
    : undefined;
}
