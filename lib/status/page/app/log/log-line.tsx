/** One line of a log: its number, which is a link to it, and its text in colours. */
import type { JSX } from "preact";
import { classesOf, printLine, type Style } from "./ansi.js";
import { splitAtMatches } from "./search.js";

interface LogLineProps {
  /** From 1. */
  readonly number: number;
  readonly text: string;
  readonly style: Style;
  readonly search: string;
  readonly isMarked: boolean;
  readonly onMark: (line: number) => void;
}

/** Text only: nothing of a log is ever markup. */
export function LogLine({ number, text, style, search, isMarked, onMark }: LogLineProps): JSX.Element {
  const { pieces } = printLine(text, style);
  return (
    <div class={isMarked ? "log-line marked" : "log-line"}>
      <a
        class="line-number"
        href={`#L${number}`}
        tabIndex={-1}
        onClick={(event) => {
          event.preventDefault();
          onMark(number);
        }}
      >
        {number}
      </a>
      <span class="line-text">
        {pieces.map((piece, index) => (
          // Pieces of a line have no names; a line that changes is drawn again whole.
          <span key={`${index} ${piece.text.length}`} class={classesOf(piece.style)}>
            {splitAtMatches(piece.text, search).map((part, at) =>
              at % 2 === 1 ? <mark key={`m${at}`}>{part}</mark> : part,
            )}
          </span>
        ))}
      </span>
    </div>
  );
}
