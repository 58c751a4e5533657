/** The box that a log scrolls in: draws the lines that are seen, follows the end until the reader scrolls up. */
import type { JSX } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { countText } from "../data/words.js";
import { LogLine } from "./log-line.js";
import { firstLine, lineHeight, scrolledHeight, topOfLine } from "./scroll.js";
import type { ShownLog } from "./use-log.js";

/** A line to go to; a new object goes there again. */
export interface Jump {
  /** From 1; `end`: to the last one, and follow. */
  readonly to: number | "end";
}

interface LogBoxProps {
  readonly log: ShownLog;
  readonly search: string;
  readonly marked: number;
  readonly onMark: (line: number) => void;
  readonly jump: Jump | undefined;
}

/** Pixels from the end that still count as there. */
const nearEnd = 24;

/** A box that scrolls must be reached by the keyboard. */
const reachable = { tabIndex: 0 } as const;

/** Focus it to scroll by keys. */
export function LogBox({ log, search, marked, onMark, jump }: LogBoxProps): JSX.Element {
  const { buffer } = log;
  const box = useRef<HTMLDivElement>(null);
  const [top, setTop] = useState(0);
  const [height, setHeight] = useState(600);
  const [seen, setSeen] = useState<number>();
  const follows = useRef(false);
  const count = buffer.count;
  useEffect(() => {
    const measure = (): void => setHeight(box.current?.clientHeight ?? 600);
    measure();
    addEventListener("resize", measure);
    return () => removeEventListener("resize", measure);
  }, []);
  const toEnd = (): void => {
    follows.current = true;
    setSeen(undefined);
    if (box.current !== null) box.current.scrollTop = box.current.scrollHeight;
  };
  // Where the reader wants to be may come later than the reader.
  const pending = useRef<Jump>();
  useEffect(() => {
    pending.current = jump;
  }, [jump]);
  useLayoutEffect(() => {
    const element = box.current;
    if (element === null) return;
    const wanted = pending.current?.to;
    if (wanted === "end") {
      pending.current = undefined;
      toEnd();
    } else if (wanted !== undefined && wanted <= count) {
      pending.current = undefined;
      follows.current = false;
      element.scrollTop = topOfLine(
        count,
        Math.max(0, wanted - 1 - Math.floor(height / lineHeight / 3)),
        height,
      );
    } else if (follows.current) element.scrollTop = element.scrollHeight;
  });
  const scrolled = ({ currentTarget }: { readonly currentTarget: HTMLElement }): void => {
    const { scrollTop, scrollHeight, clientHeight } = currentTarget;
    setTop(scrollTop);
    const atEnd = scrollTop + clientHeight >= scrollHeight - nearEnd;
    if (!atEnd && follows.current) setSeen(count);
    if (atEnd) setSeen(undefined);
    follows.current = atEnd && log.state !== "finished";
  };
  const { line: first, offset } = firstLine(count, top, height);
  const last = Math.min(count, first + Math.ceil(height / lineHeight) + 12);
  const fresh = seen === undefined ? 0 : count - seen;
  return (
    <div class="log-frame">
      <section class="log-box" ref={box} {...reachable} aria-label="Log" onScroll={scrolled}>
        <div class="log-lines" style={{ height: `${scrolledHeight(count)}px` }}>
          <div class="log-seen" style={{ transform: `translateY(${offset}px)` }}>
            {Array.from({ length: Math.max(0, last - first) }, (_, index) => first + index).map((index) => (
              <LogLine
                key={index}
                number={index + 1}
                text={buffer.line(index)}
                style={buffer.styleAt(index)}
                search={search}
                isMarked={marked === index + 1}
                onMark={onMark}
              />
            ))}
          </div>
        </div>
      </section>
      {fresh > 0 ? (
        <button type="button" class="primary log-fresh" onClick={toEnd}>
          {countText(fresh)} new {fresh === 1 ? "line" : "lines"} ↓
        </button>
      ) : null}
    </div>
  );
}
