/** Which lines a log has: a level for each target, which can be changed while the program runs. */
import { aFunction, aText, checkArgument } from "./argument-checks.js";

/** A log level, or nothing at all; from the fewest lines to the most. */
export const filterLevels = ["off", "error", "warn", "info", "debug", "trace"] as const;

/** A log level, or nothing at all. */
export type FilterLevel = (typeof filterLevels)[number];

/** The level of a target. */
export type LevelOfTarget = (target: string) => FilterLevel;

/** Reads a filter as operators write it. Must throw for a text that is not one. */
export type FilterReader = (text: string) => LevelOfTarget;

/** The levels of all loggers of a program. */
export class LogLevels {
  readonly #read: FilterReader;
  #text: string;
  #levelOf: LevelOfTarget;
  #shift = 0;
  readonly #known = new Map<string, number>();

  /** @throws what `read` throws for this text */
  constructor(read: FilterReader, text: string) {
    checkArgument("LogLevels", "read", read, aFunction);
    checkArgument("LogLevels", "text", text, aText);
    this.#read = read;
    this.#text = text;
    this.#levelOf = read(text);
  }

  /** The filter in force, and by how many levels it was moved. */
  get text(): string {
    if (this.#shift === 0) return this.#text;
    return `${this.#text} (${this.#shift > 0 ? "+" : ""}${this.#shift})`;
  }

  /**
   * Another filter from now on.
   *
   * @throws what `read` throws; the old one then stays in force
   */
  set(text: string): void {
    this.#levelOf = this.#read(text);
    this.#text = text;
    this.#shift = 0;
    this.#known.clear();
  }

  /** One level more (`1`) or less (`-1`) for every target. */
  move(by: 1 | -1): void {
    const furthest = filterLevels.length - 1;
    this.#shift = Math.max(-furthest, Math.min(furthest, this.#shift + by));
    this.#known.clear();
  }

  /** The level of a target now. */
  levelOf(target: string): FilterLevel {
    return filterLevels[this.#highest(target)] ?? "off";
  }

  /** Whether a target writes lines of this level. */
  allows(target: string, level: Exclude<FilterLevel, "off">): boolean {
    return filterLevels.indexOf(level) <= this.#highest(target);
  }

  #highest(target: string): number {
    let highest = this.#known.get(target);
    if (highest === undefined) {
      const moved = filterLevels.indexOf(this.#levelOf(target)) + this.#shift;
      highest = Math.max(0, Math.min(filterLevels.length - 1, moved));
      this.#known.set(target, highest);
    }
    return highest;
  }
}
