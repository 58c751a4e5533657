/** What was left out of a `nix-support` folder, so that a log can say it. */

/** A line, or a whole file, that did not count. */
export interface DroppedLine {
  /** Name of the file below `nix-support/`, such as `hydra-build-products`. */
  readonly file: string;
  /** Number of the line, from 1; undefined when it is about the whole file. */
  readonly line: number | undefined;
  /** Why, as a phrase of ours that quotes nothing of the file. */
  readonly reason: string;
}

/** Lines that are named one by one for each file. */
const mostNamedLines = 50;

/** Collects what one file dropped: the first lines are named, the others counted. */
export class DroppedLines {
  readonly #file: string;
  readonly #named: DroppedLine[] = [];
  #others = 0;

  constructor(file: string) {
    this.#file = file;
  }

  /** @param line from 1; undefined for the whole file */
  add(line: number | undefined, reason: string): void {
    if (this.#named.length < mostNamedLines) this.#named.push({ file: this.#file, line, reason });
    else this.#others++;
  }

  /** At most `mostNamedLines` lines, and one entry that counts the rest. */
  list(): readonly DroppedLine[] {
    if (this.#others === 0) return this.#named;
    const reason = `${this.#others} more lines were left out`;
    return [...this.#named, { file: this.#file, line: undefined, reason }];
  }
}

/** One line for a log: `nix-support/hydra-metrics, line 3: not UTF-8`. */
export function printDroppedLine({ file, line, reason }: DroppedLine): string {
  return `nix-support/${file}${line === undefined ? "" : `, line ${line}`}: ${reason}`;
}
