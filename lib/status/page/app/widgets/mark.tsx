/** State by sign, word and colour, never by colour alone. */
import type { ComponentChildren, JSX } from "preact";
import type { ApiMachineState, ApiStepState } from "../../../api/types.js";

/** What a state means for the reader. */
export type Tone = "good" | "busy" | "wait" | "warn" | "bad" | "none";

const signs: Readonly<Record<Tone, string>> = {
  good: "✓",
  busy: "▶",
  wait: "◷",
  warn: "▲",
  bad: "✗",
  none: "○",
};

/** A sign and a word. */
export function Mark({
  tone,
  children,
}: {
  readonly tone: Tone;
  readonly children: ComponentChildren;
}): JSX.Element {
  return (
    <span class={`mark ${tone}`}>
      <span class="sign" aria-hidden="true">
        {signs[tone]}
      </span>{" "}
      {children}
    </span>
  );
}

/** Tones of machines' states. */
export const machineTones: Readonly<Record<ApiMachineState, Tone>> = {
  idle: "good",
  building: "busy",
  full: "busy",
  held: "bad",
  draining: "warn",
  limited: "warn",
  silent: "bad",
  disconnected: "bad",
};

/** Tones of steps' states. */
export const stepTones: Readonly<Record<ApiStepState, Tone>> = {
  succeeded: "good",
  cached: "good",
  failed: "bad",
  running: "busy",
  ready: "wait",
  waiting: "none",
  unsupported: "bad",
  cancelled: "warn",
  unknown: "none",
};

/** A result by `buildstatus`: null while it is not known. */
export function ResultMark({
  status,
  result,
}: {
  readonly status: number | null;
  readonly result: string;
}): JSX.Element {
  const tone: Tone =
    status === null ? "busy" : status === 0 ? "good" : status === 4 || status === 3 ? "warn" : "bad";
  return <Mark tone={tone}>{result}</Mark>;
}

/** Signs of steps' states, where there is no room for words. */
export const stepSigns = Object.fromEntries(
  Object.entries(stepTones).map(([state, tone]) => [state, signs[tone]]),
) as Readonly<Record<ApiStepState, string>>;
