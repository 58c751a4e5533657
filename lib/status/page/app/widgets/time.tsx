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

/** How long something has gone on: `41 min 3 s`; counts on by itself. */
export function Since({ at }: { readonly at: number }): JSX.Element {
  const now = useNow();
  return (
    <time dateTime={new Date(at).toISOString()} title={`since ${exactTime(at)}`}>
      {spanText(now - at)}
    </time>
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

/** A duration and, beside it, what is usual. */
export function Duration({
  ms,
  usual,
}: {
  readonly ms: number;
  readonly usual?: number | null;
}): JSX.Element {
  return (
    <span>
      {spanText(ms)}
      {usual == null ? null : <span class="soft"> (usually {roughSpan(usual)})</span>}
    </span>
  );
}
