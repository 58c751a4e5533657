/** Small charts of the history, as SVG; their figures also as text for those who cannot see them. */
import type { JSX } from "preact";

/** One series of a chart. */
export interface Series {
  readonly name: string;
  /** Null: nothing known. */
  readonly values: readonly (number | null)[];
  /** Name of its colour. */
  readonly tone: "busy" | "bad" | "wait";
  /** Figures with their unit. */
  readonly text: (value: number) => string;
}

const width = 360;
const height = 56;

function bars(values: readonly (number | null)[], max: number): string {
  const step = width / values.length;
  return values
    .map((value, index) => {
      if (value === null || value <= 0) return "";
      const tall = Math.max(1, (value / max) * (height - 2));
      return `M${(index * step).toFixed(1)} ${height}v${(-tall).toFixed(1)}h${Math.max(0.6, step - 0.8).toFixed(1)}V${height}z`;
    })
    .join("");
}

/** Bars over time; what the last and the highest one are, stands beside the name. */
export function Chart({ series, span }: { readonly series: Series; readonly span: string }): JSX.Element {
  const { name, values, tone, text } = series;
  const known = values.filter((value) => value !== null);
  const max = Math.max(1, ...known);
  const last = known.at(-1);
  const summary =
    known.length === 0 ? "nothing yet" : `now ${text(last ?? 0)}, at most ${text(Math.max(...known))}`;
  return (
    <figure class="chart">
      <figcaption>
        <span>{name}</span> <span class="soft">{summary}</span>
      </figcaption>
      <svg
        viewBox={`0 0 ${width} ${height}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={`${name}, ${span}: ${summary}`}
      >
        <path class={`fill-${tone}`} d={bars(values, max)} />
      </svg>
    </figure>
  );
}
