/** Which rows of a long list are on the screen. Lists scroll with the page. */
import type { RefObject } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";

/** Shorter lists are drawn whole. Each row costs about a millisecond when a table is sorted. */
const wholeUpTo = 80;
/** Rows above and below the screen that are drawn too. */
const margin = 8;

/** A part of a list, and the height of what is left out before and after, in pixels. */
export interface VisibleRows {
  readonly first: number;
  readonly last: number;
  readonly before: number;
  readonly after: number;
}

/** The part of `count` rows of `rowHeight` pixels that a window of `height` pixels shows, `top` pixels below their begin. */
function visibleRows(count: number, rowHeight: number, top: number, height: number): VisibleRows {
  if (count <= wholeUpTo) return { first: 0, last: count, before: 0, after: 0 };
  // In steps, so that scrolling by a line draws nothing.
  const step = Math.floor(margin / 2);
  const seen = Math.floor(Math.max(0, top) / rowHeight / step) * step;
  const first = Math.max(0, Math.min(count - 1, seen) - margin);
  const last = Math.min(count, seen + Math.ceil(height / rowHeight) + margin + step);
  return { first, last, before: first * rowHeight, after: (count - last) * rowHeight };
}

/** Follows the window; `onNearEnd` is called when the last rows come near. */
export function useVisibleRows(
  body: RefObject<HTMLElement>,
  count: number,
  onNearEnd?: () => void,
): VisibleRows {
  const [rowHeight, setRowHeight] = useState(33);
  const [top, setTop] = useState(0);
  const isLong = count > wholeUpTo;
  const measured = useRef(0);
  useLayoutEffect(() => {
    const element = body.current;
    if (!isLong || element === null || element.clientWidth === measured.current) return;
    // The mean of those that are drawn; once for a width, as a height that changes while one scrolls makes rows jump.
    const drawn = [...element.querySelectorAll<HTMLElement>("tr:not(.gap)")];
    const height = drawn.reduce((sum, row) => sum + row.offsetHeight, 0) / Math.max(1, drawn.length);
    if (height < 1) return;
    measured.current = element.clientWidth;
    setRowHeight(height);
  });
  useEffect(() => {
    if (!isLong && onNearEnd === undefined) return undefined;
    let frame = 0;
    const look = (): void => {
      frame = 0;
      const begin = body.current?.getBoundingClientRect();
      if (begin === undefined) return;
      setTop(Math.max(0, Math.floor(-begin.top)));
      if (begin.bottom < innerHeight + 40 * rowHeight) onNearEnd?.();
    };
    const later = (): void => {
      if (frame === 0) frame = requestAnimationFrame(look);
    };
    addEventListener("scroll", later, { passive: true });
    addEventListener("resize", later);
    look();
    return () => {
      removeEventListener("scroll", later);
      removeEventListener("resize", later);
      cancelAnimationFrame(frame);
    };
  }, [isLong, rowHeight, onNearEnd]);
  return visibleRows(count, rowHeight, top, innerHeight);
}
