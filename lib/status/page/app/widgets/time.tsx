/** Times and durations: short in the text, exact on hover. */
import type { JSX } from "preact";
import { useNow } from "../data/clock.js";
import { clockText, exactTime, roughSpan, spanText } from "../data/words.js";

/** `3 min ago`; counts on by itself. */
export function Ago({ at, suffix = " ago" }: { readonly at: number; readonly suffix?: string }): JSX.Element {
  const now = useNow();
  return (
    <time dateTime={new Date(at).toISOString()} title={exactTime(at)}>
      {roughSpan(now - at)}
      {suffix}
    </time>
  );
}

interface SinceProps {
  readonly at: number;
  /** How long it usually takes; beyond that it is marked. */
  readonly usual?: number | null;
}

/** How long something has gone on, and what is usual: `41 min 3 s of 52 min`; counts on by itself. */
export function Since({ at, usual = null }: SinceProps): JSX.Element {
  const now = useNow();
  const isLate = usual !== null && now - at > usual * 1.2;
  return (
    <>
      <time
        class={isLate ? "late" : undefined}
        dateTime={new Date(at).toISOString()}
        title={`since ${exactTime(at)}${isLate ? ", longer than usual" : ""}`}
      >
        {spanText(now - at)}
        {isLate ? <span class="sr-only"> (longer than usual)</span> : null}
      </time>
      {usual === null ? null : <span class="soft"> of {roughSpan(usual)}</span>}
    </>
  );
}

/** A time of day, with the day where it is another one. */
export function At({ at }: { readonly at: number }): JSX.Element {
  return (
    <time dateTime={new Date(at).toISOString()} title={exactTime(at)}>
      {clockText(at, Date.now())}
    </time>
  );
}
