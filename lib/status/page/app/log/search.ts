/** Search in a log, in slices, so that a long log does not hold the page up. */
import { shownText } from "./ansi.js";
import type { LineBuffer } from "./line-buffer.js";

/** Milliseconds of searching at a time. */
const sliceMs = 12;

/** Hits of one text, kept up to date as the log grows. */
export class LogSearch {
  readonly #text: string;
  readonly #buffer: LineBuffer;
  /** Indices of lines with a hit, in order. */
  readonly lines: number[] = [];
  /** Hits in all; a line may have several. */
  hits = 0;
  #next = 0;

  constructor(buffer: LineBuffer, text: string) {
    this.#buffer = buffer;
    this.#text = text.toLowerCase();
  }

  /** Everything that has come is searched. */
  get isComplete(): boolean {
    return this.#next >= this.#buffer.completeCount;
  }

  /** Searches for a slice of time. `clock` in milliseconds. */
  advance(clock: () => number = () => performance.now()): void {
    const end = clock() + sliceMs;
    const count = this.#buffer.completeCount;
    while (this.#next < count) {
      const found = countIn(shownText(this.#buffer.line(this.#next)).toLowerCase(), this.#text);
      if (found > 0) {
        this.hits += found;
        this.lines.push(this.#next);
      }
      this.#next++;
      if (this.#next % 256 === 0 && clock() > end) return;
    }
  }
}

function countIn(line: string, text: string): number {
  let count = 0;
  for (let at = line.indexOf(text); at >= 0; at = line.indexOf(text, at + text.length)) count++;
  return count;
}

/** A text cut where it matches, ignoring case: others, match, others, match, others. */
export function splitAtMatches(text: string, wanted: string): readonly string[] {
  if (wanted === "") return [text];
  const [low, sought] = [text.toLowerCase(), wanted.toLowerCase()];
  // Some characters change their length in lower case; those lines are not marked.
  if (low.length !== text.length) return [text];
  const parts: string[] = [];
  let begin = 0;
  for (let at = low.indexOf(sought); at >= 0; at = low.indexOf(sought, begin)) {
    parts.push(text.slice(begin, at), text.slice(at, at + sought.length));
    begin = at + sought.length;
  }
  return [...parts, text.slice(begin)];
}
