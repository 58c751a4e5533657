/** What every benchmark is. */

/** What a benchmark gives: named figures, in the order in which they are printed. Units belong into the names. */
export type Figures = Readonly<Record<string, number | string>>;

/** `args` are the words after the benchmark's name. */
export type Benchmark = (args: readonly string[]) => Promise<Figures>;
