/** A span of time that is looked at: zoomed around a point, moved, kept within bounds. Pure. */

/** Milliseconds since the epoch. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

const minute = 60_000;
/** The shortest and the longest span that can be looked at. */
const shortest = minute;
const longest = 7 * 24 * 60 * minute;

/** The end of a span that moves with the time: the next whole minute, so that it stays the same for a while. */
export function presentEnd(now: number): number {
  return (Math.floor(now / minute) + 1) * minute;
}

/** Of that length at most or at least, and not in the future. */
function within({ from, to }: Span, now: number): Span {
  const length = Math.min(longest, Math.max(shortest, to - from));
  const end = Math.min(presentEnd(now), to);
  return { from: end - length, to: end };
}

/** `factor` below 1 shows less; `at` (0 to 1) is the part of the span that stays where it is. */
export function zoomed({ from, to }: Span, factor: number, at: number, now: number): Span {
  const point = from + at * (to - from);
  const length = Math.min(longest, Math.max(shortest, (to - from) * factor));
  return within({ from: point - at * length, to: point + (1 - at) * length }, now);
}

/** Later by a part of its length; earlier by a negative one. */
export function moved({ from, to }: Span, part: number, now: number): Span {
  const by = part * (to - from);
  return within({ from: from + by, to: to + by }, now);
}

/** Members of the address that name a span. An end that is the present is left out, so that it moves with the time. */
export function spanQuery(
  { from, to }: Span,
  now: number,
): { readonly minutes: string; readonly to: string } {
  return {
    minutes: String(Math.round(((to - from) / minute) * 100) / 100),
    to: to >= presentEnd(now) ? "" : String(Math.round(to)),
  };
}

/** The span that an address names. */
export function spanOf(query: URLSearchParams, usualMinutes: number, now: number): Span {
  const asked = Number(query.get("minutes") ?? usualMinutes);
  const minutes = Number.isFinite(asked) && asked > 0 ? asked : usualMinutes;
  const end = Number(query.get("to") ?? Number.NaN);
  const to = Number.isFinite(end) && end > 0 ? end : presentEnd(now);
  return within({ from: to - minutes * minute, to }, now);
}
