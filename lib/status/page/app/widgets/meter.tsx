/** How much of something is used: a bar behind its figure. */
import type { ComponentChildren, JSX } from "preact";

interface MeterProps {
  readonly value: number;
  readonly max: number;
  /** From this part on (0 to 1) it is a warning. Default: never. */
  readonly warnAt?: number;
  readonly children: ComponentChildren;
}

/** The text says the figure, the bar shows it. */
export function Meter({ value, max, warnAt = 2, children }: MeterProps): JSX.Element {
  const part = max > 0 ? Math.min(1, Math.max(0, value / max)) : 0;
  return (
    <span class={part >= warnAt ? "meter warn" : "meter"}>
      <span class="meter-text">{children}</span>
      <span class="meter-track" aria-hidden="true">
        <span class="meter-fill" style={{ width: `${(part * 100).toFixed(1)}%` }} />
      </span>
    </span>
  );
}
