/** What every benchmark is, and what it gives. */

/** What a figure is compared with, measured in the same run. */
export interface Yardstick {
  /** What was measured: a command, or the stage below which nothing can go. */
  readonly name: string;
  /** In the unit of the figure. */
  readonly value: number;
}

/** What a figure, or its ratio to the yardstick, has to be. */
export interface Goal {
  readonly of: "value" | "ratio";
  readonly bound: "at most" | "at least";
  readonly limit: number;
}

/** One measured figure. */
export interface Result {
  /** What was measured: unique within its benchmark. */
  readonly figure: string;
  readonly value: number;
  /** `ms`, `s`, `MB`, `builds/s`, …; empty for a count. */
  readonly unit: string;
  readonly yardstick?: Yardstick;
  /** None for a figure that only explains others. */
  readonly goal?: Goal;
}

/** A goal for the figure itself. */
export const atMost = (limit: number): Goal => ({ of: "value", bound: "at most", limit });
/** A goal for the figure itself. */
export const atLeast = (limit: number): Goal => ({ of: "value", bound: "at least", limit });
/** A goal for the figure divided by its yardstick. */
export const ratioAtMost = (limit: number): Goal => ({ of: "ratio", bound: "at most", limit });

/** Named figures without goals, in the order in which they are printed; units belong into the names. */
export type Figures = Readonly<Record<string, number | string>>;

/** `args` are the words after the benchmark's name. Results are preferred to figures, which have no goals. */
export type Benchmark = (args: readonly string[]) => Promise<readonly Result[] | Figures>;
