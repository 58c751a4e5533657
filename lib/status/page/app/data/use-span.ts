/** The span that the timeline shows: changed at once by keys, wheel and drag; in the address, and asked for, once it rests. */
import { useEffect, useRef, useState } from "preact/hooks";
import { changeQuery, useAddress } from "./address.js";
import { isTyping } from "./keys.js";
import { moved, type Span, spanOf, spanQuery, zoomed } from "./span.js";

/** Milliseconds without a change until what is shown is asked for. */
const restMs = 250;
const zoomStep = 1.5;
const moveStep = 0.25;

/** What is shown, and ways to change it. */
export interface SpanControl {
  /** As the address has it. */
  readonly settled: Span;
  /** On the way to the next one; the same as `settled` at rest. */
  readonly shown: Span;
  readonly zoom: (factor: number, at?: number) => void;
  /** By a part of the length. */
  readonly move: (part: number) => void;
}

/** Keys of the whole view: plus and minus zoom, Shift with arrows moves. */
function followZoomKeys(control: () => SpanControl): () => void {
  const press = (event: KeyboardEvent): void => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    if (document.querySelector("dialog[open]") !== null) return;
    const { zoom, move } = control();
    if (event.key === "+" || event.key === "=") zoom(1 / zoomStep);
    else if (event.key === "-") zoom(zoomStep);
    else if (event.shiftKey && event.key === "ArrowLeft") move(-moveStep);
    else if (event.shiftKey && event.key === "ArrowRight") move(moveStep);
    else return;
    event.preventDefault();
  };
  document.addEventListener("keydown", press);
  return () => document.removeEventListener("keydown", press);
}

/** `usualMinutes`: length of the span when the address has none. */
export function useSpan(usualMinutes: number): SpanControl {
  const { query } = useAddress();
  const settled = spanOf(query, usualMinutes, Date.now());
  const [next, setNext] = useState<Span>();
  const latest = useRef<Span>(settled);
  latest.current = next ?? settled;
  useEffect(() => {
    if (next === undefined) return undefined;
    const timer = setTimeout(() => {
      changeQuery(spanQuery(next, Date.now()));
      setNext(undefined);
    }, restMs);
    return () => clearTimeout(timer);
  }, [next]);
  const change = (span: Span): void => {
    latest.current = span;
    setNext(span);
  };
  const control: SpanControl = {
    settled,
    shown: next ?? settled,
    zoom: (factor, at = 0.5) => change(zoomed(latest.current, factor, at, Date.now())),
    move: (part) => change(moved(latest.current, part, Date.now())),
  };
  const present = useRef(control);
  present.current = control;
  useEffect(() => followZoomKeys(() => present.current), []);
  return control;
}
