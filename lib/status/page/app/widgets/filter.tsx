/** Filters above a list: a text, and choices with their counts. What is chosen lives in the address. */
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useState } from "preact/hooks";

/** Something to choose, and how many rows it leaves. */
export interface Choice {
  readonly value: string;
  readonly title: string;
  readonly count?: number;
}

interface FilterProps {
  readonly label: string;
  readonly text: string;
  readonly onText: (text: string) => void;
  readonly choices?: readonly Choice[];
  /** Empty: none. */
  readonly chosen?: string;
  readonly onChoose?: (value: string) => void;
  readonly children?: ComponentChildren;
}

/** Milliseconds without a key until the filter is used. */
const pauseMs = 150;

/** A field whose text is passed on after a short pause. */
export function TextFilter({
  label,
  text,
  onText,
}: Pick<FilterProps, "label" | "text" | "onText">): JSX.Element {
  const [typed, setTyped] = useState(text);
  useEffect(() => setTyped(text), [text]);
  useEffect(() => {
    if (typed === text) return undefined;
    const timer = setTimeout(() => onText(typed), pauseMs);
    return () => clearTimeout(timer);
  }, [typed]);
  return (
    <input
      type="search"
      aria-label={label}
      placeholder={label}
      value={typed}
      spellcheck={false}
      onInput={({ currentTarget }) => setTyped(currentTarget.value)}
    />
  );
}

/** A row of filters. */
export function Filter(props: FilterProps): JSX.Element {
  const { choices = [], chosen = "", onChoose, children } = props;
  return (
    <div class="filters">
      <TextFilter label={props.label} text={props.text} onText={props.onText} />
      {children}
      {choices.map(({ value, title, count }) => (
        <button
          key={value}
          type="button"
          class="choice"
          aria-pressed={value === chosen}
          onClick={() => onChoose?.(value === chosen ? "" : value)}
        >
          {title} {count === undefined ? null : <span class="soft">{count.toLocaleString("en")}</span>}
        </button>
      ))}
    </div>
  );
}
