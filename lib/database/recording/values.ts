/**
 * Makes values fit for Hydra's columns.
 *
 * What builders send must never make a result unrecordable: texts lose what PostgreSQL refuses and are cut to a
 * sensible length, numbers are clamped to their column.
 */

const maxInt32 = 2 ** 31 - 1;

/** A whole number between the bounds; NaN counts as the lowest. */
function clamped(value: number, lowest: number, highest: number): number {
  return Number.isNaN(value) ? lowest : Math.min(highest, Math.max(lowest, Math.floor(value)));
}

/** Longest error message kept, in UTF-16 units. */
export const maxErrorText = 64 * 1024;
/** Longest text kept in a column that an index covers (an entry may have about 2700 bytes), in UTF-16 units. */
export const maxIndexedText = 500;
/** Longest text kept elsewhere, in UTF-16 units. */
export const maxPlainText = 8 * 1024;

/** Valid UTF-8 without NUL, at most `limit` UTF-16 units. */
export function storableText(text: string, limit: number): string {
  return text
    .slice(0, limit)
    .replaceAll("\0", "")
    .replace(/\p{Surrogate}/gu, "\uFFFD");
}

/** Milliseconds since the epoch as whole seconds, never 0 (which means "unknown" in some columns). */
export function toSeconds(milliseconds: number): number {
  return clamped(milliseconds / 1000, 1, Number.MAX_SAFE_INTEGER);
}

/** Milliseconds for a 32-bit column; null instead of 0. */
export function toOverhead(milliseconds: number): number | null {
  const whole = clamped(milliseconds, 0, maxInt32);
  return whole === 0 ? null : whole;
}

/** A number of bytes as the text of a 64-bit integer. */
export function toBigint(bytes: number): string {
  return String(clamped(bytes, 0, Number.MAX_SAFE_INTEGER));
}
