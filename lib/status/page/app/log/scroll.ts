/** Which lines a scrolled box shows. Browsers bound the height of an element, so very long logs are scaled. Pure. */

/** Height of a line in pixels; the style sheet has the same. */
export const lineHeight = 18;
/** Higher elements are cut off by some browsers. */
const maxHeight = 12_000_000;

/** Height of the element that is scrolled, for a number of lines. */
export function scrolledHeight(lines: number): number {
  return Math.min(maxHeight, lines * lineHeight);
}

/** The first line and its place below the top of the scrolled element, in a box of `height` scrolled by `top`. */
export function firstLine(
  lines: number,
  top: number,
  height: number,
): { readonly line: number; readonly offset: number } {
  const all = lines * lineHeight;
  if (all <= maxHeight) {
    const line = Math.max(0, Math.floor(top / lineHeight));
    return { line, offset: line * lineHeight };
  }
  const part = Math.min(1, Math.max(0, top / (maxHeight - height)));
  const line = Math.floor((part * (all - height)) / lineHeight);
  return { line, offset: top };
}

/** How far to scroll so that a line is at the top. */
export function topOfLine(lines: number, line: number, height: number): number {
  const all = lines * lineHeight;
  const wanted = line * lineHeight;
  if (all <= maxHeight) return wanted;
  return (wanted / (all - height)) * (maxHeight - height);
}
