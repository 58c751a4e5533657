/** How single values look in the JSON answers. */

/** The shortest decimal that gives the same 32-bit float: what the wire sent as 0.1 prints as 0.1. */
export function singlePrecision(value: number): number {
  if (!Number.isFinite(value) || Number.isInteger(value)) return value;
  const target = Math.fround(value);
  for (let digits = 1; digits <= 9; digits++) {
    const candidate = Number(target.toPrecision(digits));
    if (Math.fround(candidate) === target) return candidate;
  }
  return target;
}

/** RFC 3339 in UTC, without a fraction when it is zero. */
export function timestamp(milliseconds: number): string {
  const date = new Date(milliseconds);
  // Beyond the years a Date can hold; the epoch is what such rows mean in practice.
  if (Number.isNaN(date.getTime())) return "1970-01-01T00:00:00Z";
  return date.toISOString().replace(/\.?0*Z$/, "Z");
}

/** Whole Unix seconds; 0 = never. */
export function epochSeconds(milliseconds: number): number {
  return Math.floor(milliseconds / 1000);
}

/** Integer division that gives 0 for nothing. */
export function average(total: number, count: number): number {
  return count > 0 ? Math.trunc(total / count) : 0;
}

/** Order of two texts by UTF-16 code units, for `sort`. */
export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
